"""The items of a whole log: what `Items` tells at each submission; only steps of workflows cost anything."""

import numpy as np

from crowdrun.data.replay import events
from crowdrun.predictor.items import Items, run_time_log2
from crowdrun.predictor.learning_log import LearningLog, numbers
from crowdrun.predictor.quantiles import Array


def item_statistics(log: LearningLog, value_log2: Array, items: Items) -> Array:
    """What the items tell of each job: (n, len(ITEM_NAMES)); the ended ones are put into `items`, which come empty.

    value_log2: (n,), NaN where a job teaches nothing.
    """
    result = np.tile(np.array(items.statistics(None)), (len(log), 1))
    places = log.requests_table.item_places()
    if not places:
        return result
    rows = np.array(sorted(places))
    run = run_time_log2(numbers(log.jobs, "end_time") - numbers(log.jobs, "start_time"))
    for what, place in events(log.submit_time[rows].tolist(), log.end_time[rows].tolist()):
        row = int(rows[place])
        if what == "submit":
            result[row] = items.statistics(places[row])
        elif np.isfinite(log.end_time[row]) and not np.isnan(run[row]):
            items.observe(*places[row], float(run[row]), float(value_log2[row]))
    return result
