"""GPU memory and utilisation of a run's own processes, from `nvidia-smi`; unknown where there is none.

The figures are those of the processes of the run: memory is what the driver says that they hold on one card (for torch
that is the caching allocator's reservation and the CUDA context), utilisation that of the cards they are on. Where the
driver does not say it (MIG, some integrated cards) or does not see the same process ids (a container with its own
process namespace), it stays unknown.

>>> apps = "4242, GPU-aa, 3100\\n4243, GPU-bb, 2900\\n77, GPU-aa, 9000\\n"
>>> read_gpus(apps, "GPU-aa, 80\\nGPU-bb, 40\\nGPU-cc, 99\\n", pids={4242, 4243})
GpuReading(mem_mb=3100.0, utilisation=0.6, gpus=2)
>>> read_gpus("4242, GPU-aa, [N/A]\\n", "GPU-aa, [N/A]\\n", pids={4242})
GpuReading(mem_mb=None, utilisation=None, gpus=1)
>>> read_gpus("77, GPU-aa, 9000\\n", "GPU-aa, 80\\n", pids={4242}) is None
True
"""

import json
import shutil
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

#: `nvidia-smi --help-query-compute-apps`, `--help-query-gpu`: memory in MiB, utilisation in percent.
APPS_QUERY = "--query-compute-apps=pid,gpu_uuid,used_memory"
GPUS_QUERY = "--query-gpu=uuid,utilization.gpu"
FORMAT = "--format=csv,noheader,nounits"
#: A call takes 0.05 to 1 s, the longer the more cards.
TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class GpuReading:
    """One look at the cards that a run's processes are on."""

    #: The most that they hold together on one card, MB.
    mem_mb: float | None
    #: Mean over those cards, 0 to 1.
    utilisation: float | None
    gpus: int


def read_gpus(apps: str, cards: str, *, pids: Collection[int]) -> GpuReading | None:
    """What the answers to both queries say of the processes `pids`; None when none of them is on a card."""
    held: dict[str, list[float | None]] = defaultdict(list)
    for pid, card, memory in _rows(apps, 3):
        if pid.isdigit() and int(pid) in pids:
            held[card].append(_number(memory))
    if not held:
        return None
    busy = [_number(percent) for card, percent in _rows(cards, 2) if card in held]
    known = [percent for percent in busy if percent is not None]
    sums = [sum(filter(None, figures)) for figures in held.values() if None not in figures]
    return GpuReading(
        mem_mb=max(sums, default=None),
        utilisation=round(sum(known) / len(known) / 100, 4) if known else None,
        gpus=len(held),
    )


def _rows(text: str, width: int) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return [row for row in rows if len(row) == width]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class GpuSample(GpuReading):
    """A reading, and when it was taken."""

    #: Since the start of the run.
    time_s: float


class GpuMonitor:
    """Asks in a thread of its own, since an answer can take a second, and keeps the peaks."""

    def __init__(
        self, pids: Callable[[], Collection[int]], *, interval_s: float = 1.0, samples: Path | None = None
    ) -> None:
        """samples: a file that gets a line for each answer that says something, as it comes."""
        self._pids = pids
        self._interval_s = interval_s
        self._samples = samples
        self._over = threading.Event()
        self._readings: list[GpuReading] = []
        #: Our own `nvidia-smi` processes, which are no part of the run.
        self.helpers: set[int] = set()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if shutil.which("nvidia-smi"):
            self._thread.start()

    def stop(self) -> None:
        """Ask no more; returns when the last answer is in."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def peak_mem_mb(self) -> float | None:
        return max((r.mem_mb for r in self._readings if r.mem_mb is not None), default=None)

    @property
    def mean_utilisation(self) -> float | None:
        known = [r.utilisation for r in self._readings if r.utilisation is not None]
        return sum(known) / len(known) if known else None

    @property
    def gpus(self) -> int | None:
        """The most cards that the run was on at once; None where nothing is known."""
        return max((r.gpus for r in self._readings), default=None)

    def _watch(self) -> None:
        begun = time.monotonic()
        while not self._over.is_set():
            apps, cards = self._ask(APPS_QUERY), self._ask(GPUS_QUERY)
            if apps is None or cards is None:
                return  # no driver behind the program, or it hangs: asking again would not help
            if reading := read_gpus(apps, cards, pids=self._pids()):
                self._readings.append(reading)
                self._write(reading, time.monotonic() - begun)
            self._over.wait(self._interval_s)

    def _write(self, reading: GpuReading, time_s: float) -> None:
        if self._samples is None:
            return
        line = json.dumps({"time_s": round(time_s, 3), **asdict(reading)})
        try:
            with self._samples.open("a") as stream:
                stream.write(f"{line}\n")
        except OSError:
            self._samples = None  # a full disk: the peaks are kept all the same

    def _ask(self, query: str) -> str | None:
        command = ["nvidia-smi", query, FORMAT]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            self.helpers.add(process.pid)
            try:
                answer, _ = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return None
        return answer if process.returncode == 0 else None
