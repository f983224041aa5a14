"""`crowdrun inspect`: what a log holds, what was mended or rejected, and what can be learnt from it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import click

from crowdrun.api.log_options import log_options
from crowdrun.api.progress import progress_bar
from crowdrun.data.errors import LogError
from crowdrun.data.inspection import Inspection
from crowdrun.data.labels import RULES_BY_NAME, TARGETS, VALUE_COLUMNS
from crowdrun.data.reading import read_log
from crowdrun.data.sources.base import ReadReport, Rejection

#: Line numbers shown for each reason.
_LINES_SHOWN = 8


@click.command()
@log_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with up to 1000 rejected lines.")
def command(log: str, log_format: str, timezone: str, as_json: bool) -> None:
    """Say what LOG (a file, plain or compressed, or - for standard input) holds and what can be learnt from it.

    Nothing is written. When the log breaks off, what came before is shown, then the error.
    """
    report = ReadReport()
    inspection = Inspection(report)
    failure: LogError | None = None
    try:
        with progress_bar("inspect") as progress:
            for table in read_log(log, log_format, report, progress, timezone=timezone):
                inspection.add(table)
    except LogError as error:
        if not report.jobs:
            raise
        failure = error
    click.echo(json.dumps(inspection.as_json(), indent=2) if as_json else "\n".join(_text(inspection)))
    if failure:
        raise failure


def _text(inspection: Inspection) -> Iterator[str]:
    report = inspection.report
    yield f"read       {report.lines:,} lines: {report.jobs:,} runs of jobs, {report.rejected.total():,} lines rejected"
    yield f"submitted  {_day(inspection.first_submit)} to {_day(inspection.last_submit)}"
    yield f"by         {len(inspection.users):,} users, {len(inspection.names):,} job names (numbers left out)"
    yield f"ended      {', '.join(f'{state} {count:,}' for state, count in inspection.states.most_common())}"
    if inspection.repeated:
        yield f"repeated   {inspection.repeated:,} runs came more than once and were counted once"
    yield from _counts("skipped", report.skipped)
    yield from _counts("repaired", report.repaired)
    yield from _rejected(report)
    yield ""
    yield "what can be learnt        measured   at least    unknown"
    for target in TARGETS:
        labels = inspection.labels[target]
        yield (f"  {VALUE_COLUMNS[target]:20}{labels['measured']:12,}{labels['at_least']:11,}{labels['unknown']:11,}")
        for rule, count in inspection.rules[target].most_common():
            if rule != "measured":
                yield f"      {rule}: {count:,} {_what(RULES_BY_NAME[rule].label)}"
    yield ""
    yield from _waste(inspection)
    for sentence in report.advice:
        yield f"advice: {sentence}"


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        if count:
            yield f"{title:10} {count:,} {name}"


def _rejected(report: ReadReport) -> Iterator[str]:
    lines: dict[str, list[Rejection]] = {}
    for rejection in report.rejections:
        lines.setdefault(rejection.reason, []).append(rejection)
    for reason, count in Counter(report.rejected).most_common():
        shown = ", ".join(str(rejection.line) for rejection in lines.get(reason, [])[:_LINES_SHOWN])
        more = ", ..." if count > _LINES_SHOWN else ""
        yield f"rejected   {count:,} {reason}: line {shown}{more}"


def _waste(inspection: Inspection) -> Iterator[str]:
    waste = inspection.waste
    if not waste.jobs:
        yield "waste: cannot be told; no job has both a measured peak and a request of memory"
        return
    share = waste.used_gbh / waste.requested_gbh if waste.requested_gbh else 0.0
    yield (
        f"waste: {waste.jobs:,} jobs asked for {waste.requested_gbh:,.1f} GB·h of memory and used "
        f"{waste.used_gbh:,.1f} ({share:.1%}); the median job asked for {waste.median_request_to_peak:.1f} x its peak"
    )
    if waste.above_request:
        yield f"       {waste.above_request:,} of them went over their request"


def _what(label: str) -> str:
    return {"at_least": "at least", "unknown": "unknown", "measured": "believed"}[label]


def _day(epoch_s: float) -> str:
    if abs(epoch_s) == float("inf"):
        return "unknown"
    return f"{datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%d}"
