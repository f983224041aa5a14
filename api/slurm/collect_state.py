"""How far collecting has come, in one small file that is there whole or not at all.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     state = CollectState(until=1.5, aside=(("7", 1.0),))
...     state.write(Path(folder))
...     CollectState.read(Path(folder)) == state
True
>>> parse_since("2026-01-31"), parse_since("2026-01-31T12:00:00+01:00")
(1769817600.0, 1769857200.0)
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ConfigError, OutputError

STATE_FILE = "collect.json"
#: Jobs kept aside that are remembered; older ones are not read again.
_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True)
class CollectState:
    """What was collected."""

    #: All that ended before is in the store, UTC epoch seconds; None: nothing was collected yet.
    until: float | None = None
    #: (job_id, submit_time) of jobs kept aside: they are not in the store, and not to be kept aside again.
    aside: tuple[tuple[str, float | None], ...] = ()

    @classmethod
    def read(cls, home: Path) -> Self:
        """The state in the home folder; a new one where there is none.

        Raises:
            ConfigError: the file is not ours.
        """
        file = home / STATE_FILE
        try:
            told = json.loads(file.read_text("utf-8"))
            return cls(until=float(told["until"]), aside=tuple((str(job), time) for job, time in told["aside"]))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"cannot read {file}: {error}; delete it, and the last 30 days are collected again (--since for more)"
            ) from error

    def write(self, home: Path) -> None:
        """Put the state into the home folder.

        Raises:
            OutputError: it cannot be written; the next collect starts where this one did.
        """
        told = asdict(self) | {"aside": self.aside[-_REMEMBERED:]}
        try:
            write_atomically(home / STATE_FILE, json.dumps(told).encode())
        except OSError as error:
            raise OutputError(f"cannot write {home / STATE_FILE}: {error.strerror}") from error


def parse_since(text: str) -> float:
    """UTC epoch seconds of a date or time in ISO 8601; without a zone it is UTC.

    Raises:
        ConfigError: it is neither.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--since is {text!r}; write it like 2026-01-31 or 2026-01-31T12:00+01:00") from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
