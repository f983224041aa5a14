"""A recommendation for a person at a terminal."""

from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

from crowdrun.api.text import duration_text, memory_text
from crowdrun.data.job import Recommendation, TargetPrediction
from crowdrun.predictor.explanation.words import percent

#: Target -> what a person calls it, how its figures are written, and the field of the request that speaks of it.
TARGETS: Mapping[str, tuple[str, Callable[[float], str], str | None]] = {
    "mem_mb": ("host memory", memory_text, "req_mem_mb"),
    "run_time_s": ("run time", duration_text, "timelimit_s"),
    "gpus": ("GPUs", "{:.0f}".format, "req_gpus"),
    "gpu_mem_mb": ("memory of one GPU", memory_text, None),
    "wait_s": ("wait", duration_text, None),
}


def show_recommendation(recommendation: Recommendation, console: Console | None = None) -> None:
    """Print what to ask for, what is asked for and its risk, the retry ladder, the reasons, and the explanation."""
    console = console or Console(highlight=False)
    if recommendation.predictions:
        console.print(_table(recommendation))
    for reason in recommendation.reasons:
        console.print(f"- {reason}", markup=False, soft_wrap=True)
    for target, reason in recommendation.abstained.items():
        console.print(f"- {_name(target)}: nothing is said; {reason}", markup=False, soft_wrap=True)
    waste = waste_line(recommendation)
    if waste:
        console.print(waste, markup=False, soft_wrap=True)
    _show_explanations(recommendation, console)


def _show_explanations(recommendation: Recommendation, console: Console) -> None:
    sentences = [sentence for one in recommendation.explanations.values() for sentence in one.sentences]
    missing = dict.fromkeys(one.missing for one in recommendation.explanations.values() if one.missing)
    if sentences:
        console.print("why:", markup=False)
    for sentence in sentences:
        console.print(f"- {sentence}", markup=False, soft_wrap=True)
    for reason in missing:
        console.print(f"no attributions: {reason}", markup=False, soft_wrap=True)


def waste_line(recommendation: Recommendation) -> str | None:
    """What the request would hold without need, or None when it is not known, or not to be reduced."""
    memory, run_time = (recommendation.predictions.get(name) for name in ("mem_mb", "run_time_s"))
    asked = recommendation.request.req_mem_mb
    if memory is None or asked is None or memory.safe >= asked:
        return None
    unused_mb = asked - memory.quantiles[0.5]
    line = f"of the {memory_text(asked)} asked for, {memory_text(unused_mb, up=False)} would most likely stay unused"
    if run_time is None:
        return line
    hours = run_time.quantiles[0.5] / 3600
    return f"{line}: {unused_mb / 1024 * hours:.3g} GB·h over {duration_text(run_time.quantiles[0.5])}"


def _table(recommendation: Recommendation) -> Table:
    table = Table()
    for title in (
        "",
        "asked",
        "its risk",
        f"safe ({recommendation.risk * 100:g}% risk)",
        "lean",
        "median",
        "after it was too little",
    ):
        table.add_column(title)
    for target, prediction in recommendation.predictions.items():
        table.add_row(*_row(recommendation, target, prediction))
    return table


def _row(recommendation: Recommendation, target: str, prediction: TargetPrediction) -> list[str]:
    name, write, field = TARGETS.get(target, (target, "{:g}".format, None))
    asked = getattr(recommendation.request, field) if field else None
    median = prediction.quantiles.get(0.5)
    return [
        name,
        "" if asked is None else write(asked),
        # A job does not die for want of a GPU that it did not ask for.
        "" if prediction.asked_risk is None or target == "gpus" else percent(prediction.asked_risk),
        write(prediction.safe),
        write(prediction.lean),
        "" if median is None else write(median),
        ", ".join(write(step) for step in prediction.ladder),
    ]


def _name(target: str) -> str:
    return TARGETS[target][0] if target in TARGETS else target
