"""How long training takes to a target score, against ranks: strong and weak, samples shuffled or kept apart.

strong: the same batch, divided. weak: each rank the same share, so that the batch grows with the ranks, and the
learning rate with it, after a warm-up (Goyal et al., "Accurate, large minibatch SGD", 2017). The time is that of the
training alone: neither starting the ranks nor scoring the test set counts.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crowdrun.data.task import DIVISIONS
from crowdrun.training.bench.launch import Measurement, measure
from crowdrun.training.bench.scaling import KINDS

WORKER = "crowdrun.training.bench.accuracy_rank"
#: Steps in which a grown learning rate is reached.
WARM_UP_STEPS = 20


def to_target(
    plain: Measurement,
    *,
    target: float,
    ranks: Sequence[int],
    divisions: Sequence[str] = DIVISIONS,
    kinds: Sequence[str] = KINDS,
    progress: Callable[[str, float], None],
) -> dict[str, Any]:
    """`score`, the name of what the target is of, and `runs`, an entry for each kind, division and number of ranks.

    With one rank there is nothing to divide: those runs are the same training, and it is done once. Keys of a run:
    `kind`, `division`, `ranks`, `batch_size`, `learning_rate`, `reached`, `epochs`, `train_s`, and `curve`, with
    `epoch`, `train_s` so far, `loss` and `score`.

    Args:
        plain: the task and its options for one rank; `options.epochs` is the most that is trained.
        target: of the task's first score; the training ends when the test set has it.
        ranks: numbers of processes.
        divisions: of DIVISIONS.
        kinds: of KINDS.
        progress: told what is trained, and the share that is done.
    """
    todo = [
        (kind, division, number)
        for number in ranks
        for kind in (kinds if number > 1 else kinds[:1])
        for division in (divisions if number > 1 else divisions[:1])
    ]
    runs, score = [], ""
    with tempfile.TemporaryDirectory(prefix="crowdrun-bench-") as place:
        for done, (kind, division, number) in enumerate(todo):
            progress(f"{kind}, {division}, {number} rank(s)", done / len(todo))
            one = _measurement(plain, kind, division, number)
            measured = measure(
                one, Path(place) / f"{kind}-{division}-{number}", worker=WORKER, more={"target_score": target}
            )
            score = measured["score"]
            curve = measured["curve"]
            runs.append({
                "kind": kind, "division": division, "ranks": number, "batch_size": one.options.batch_size,
                "learning_rate": measured["learning_rate"], "reached": curve[-1]["score"] >= target,
                "epochs": len(curve), "train_s": curve[-1]["train_s"], "curve": curve,
            })  # fmt: skip
    return {"score": score, "target": target, "runs": runs}


def _measurement(plain: Measurement, kind: str, division: str, ranks: int) -> Measurement:
    options = replace(plain.options, division=division)
    if kind == "weak" and ranks > 1:
        options = replace(
            options, batch_size=plain.options.batch_size * ranks, rate_rule="linear",
            tuned_batch_size=plain.options.batch_size, warmup_steps=WARM_UP_STEPS,
        )  # fmt: skip
    return replace(plain, ranks=ranks, options=options)
