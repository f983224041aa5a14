"""Sets of features that a crowd may be told not to look at: what fits one log by chance is noise on another.

What a relation's history says is in none of them, and always seen: without it there is nothing to predict from.

>>> list(FEATURE_SETS)
['words', 'clock', 'description', 'items', 'queue']
>>> [NUMERIC_NAMES[place] for place in FEATURE_SETS["clock"]]
['hour_of_day', 'day_of_week']
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from crowdrun.predictor.features import NUMERIC_NAMES, QUEUE_NAMES, WORD_NAMES, Features
from crowdrun.predictor.items import ITEM_NAMES

_COLUMNS = (*NUMERIC_NAMES, *QUEUE_NAMES)


def _places(names: Collection[str]) -> tuple[int, ...]:
    return tuple(place for place, name in enumerate(_COLUMNS) if name in names)


#: Name -> columns of `Features.numeric`.
FEATURE_SETS: Mapping[str, tuple[int, ...]] = {
    # The words of the command, name and folder, and the numbers of its flags.
    "words": _places(WORD_NAMES),
    "clock": _places(("hour_of_day", "day_of_week")),
    # What a user told of the model that is trained.
    "description": _places(("log2_params_m", "log2_batch_size")),
    # The earlier steps of the same item of a workflow.
    "items": _places(ITEM_NAMES),
    # What waits and runs, which a wait alone is told.
    "queue": _places(QUEUE_NAMES),
}


def without(features: Features, hidden: Sequence[str]) -> Features:
    """The same features with the hidden sets unknown in every row."""
    columns = [place for name in hidden for place in FEATURE_SETS[name] if place < features.numeric.shape[1]]
    if not columns:
        return features
    numeric = features.numeric.copy()
    numeric[:, columns] = np.nan
    return replace(features, numeric=numeric)
