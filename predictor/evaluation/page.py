"""What the pages of reports share: the frame and its style, how figures are written, and the files.

`page.html.j2` is the frame, `macros.html.j2` what its pages call; a page asks no other host.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import OutputError
from crowdrun.predictor.evaluation import plots

_NONE = "–"


def _text(write: Callable[[float], str]) -> Callable[[float | None], str]:
    return lambda value: _NONE if value is None else write(value)


#: GB·h in three figures; share in per cent; a plain number; a date; a stretch of time.
amount = _text(plots.amount)
percent = _text(lambda share: f"{share:.2%}" if 0 < share < 0.0995 else f"{share:.1%}" if share % 1 else f"{share:.0%}")
number = _text(lambda value: f"{value:,.2f}")
day = _text(lambda when: datetime.fromtimestamp(when, UTC).strftime("%-d %b %Y"))
duration = _text(
    lambda seconds: "under 1 s" if seconds < 1 else f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
)

ENVIRONMENT = Environment(
    loader=PackageLoader("crowdrun.predictor.evaluation", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals |= {"amount": amount, "percent": percent, "number": number, "duration": duration}


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: it cannot be written; says which and why.
    """
    try:
        # A name of the log may hold half a surrogate pair.
        write_atomically(file, text.encode("utf-8", "replace"))
    except OSError as error:
        raise OutputError(
            f"cannot write {file}: {error.strerror or error}; make room or choose another --out"
        ) from error
