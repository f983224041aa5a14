"""The public logs of the bench, as learning logs: name -> loader. Adding one is one row.

Nextflow's traces come in three orders. None uses what a trace tells only after the run (`rchar` and the like: Sizey's
own "input size" leaks).

**nextflow-NAME-published** is the protocol of Sizey's evaluation (Bader et al., "Sizey: Memory-Efficient Execution of
Scientific Workflow Tasks", CLUSTER 2024; repository dos-group/sizey, main.py), task type by task type: rows with an
`rss` above 0; types with fewer than 34 of them or with a `realtime` of 0 left out; scikit-learn's train_test_split with
70% to judge, in random order, and the seed of their example (1996); each judged task is learnt from before the next is
asked about. A failed attempt costs its allocation for the whole `realtime`, each retry counts, a GB is 10^9 bytes.
Where we differ: a task needs its `peak_rss` (they size `rss`, which is the same or a little less); the crowd learns
from all types at once, so the 30% of all types come first, then the judged tasks of all types in one random order; the
crowd, and methods whose paper does not say, retry at the largest peak of the type so far and then double, and no
attempt is above the largest request or peak of the trace.

**nextflow-NAME** is the same in the order of submission: the first 30% of each type to learn from.

**nextflow-NAME-live** has that order and the true times: a task is known when it ended, not before the next is asked
about. Workflows submit many tasks of a type at once, so this is harder for all, and what a cluster would see.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdrun.data.columns import COLUMNS
from crowdrun.data.errors import LogError
from crowdrun.data.labels import label_jobs
from crowdrun.data.reading import load_jobs
from crowdrun.predictor.baselines.known import Families, families_of, has_peak
from crowdrun.predictor.evaluation.metrics import MB_PER_GB, late, users
from crowdrun.predictor.learning_log import LearningLog, numbers

Bools = NDArray[np.bool_]

#: MB of 2^20 bytes in a GB of 10^9, the published unit.
MB_PER_PUBLISHED_GB = 1e9 / 2**20
#: Sizey's protocol: tasks that a type needs, the share that is judged, the seed of its example.
FEWEST_TASKS, JUDGED_SHARE, SPLIT_SEED = 34, 0.7, 1996


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A log, and how it is judged."""

    name: str
    log: LearningLog
    #: (n,) True where a prediction is judged, if its target was measured; the others are there to learn from.
    judged: Bools
    #: (n,) True where the peak can be believed.
    has_peak: Bools
    families: Families
    #: (n,) what is drawn together in a bootstrap, and what that is called.
    blocks: NDArray[np.object_]
    block_unit: str
    mb_per_gb: float = MB_PER_GB
    #: After a failure comes the largest peak of the family so far, then doubling; else doubling alone.
    retry_at_maximum: bool = False

    def first(self, jobs: int) -> "Trace":
        """The trace cut off after so many submissions."""
        rows = slice(jobs)
        log = replace(LearningLog.of(self.log.jobs.iloc[rows]), labels=self.log.labels.iloc[rows])
        return replace(
            self, log=log, judged=self.judged[rows], has_peak=self.has_peak[rows], families=self.families[rows],
            blocks=self.blocks[rows],
        )  # fmt: skip


def _plain(name: str, jobs: pd.DataFrame) -> Trace:
    """A cluster's log in the order of submission; judged after the first fifth."""
    log = LearningLog.of(jobs)
    return Trace(
        name=name, log=log, judged=late(log), has_peak=has_peak(log), families=families_of(log), blocks=users(log),
        block_unit="user",
    )  # fmt: skip


def _iu_mason(folder: Path) -> Trace:
    return _plain("iu-mason", load_jobs([_file(folder, "iu-mason")], "pbs"))


def _xdmod(cluster: str, folder: Path) -> Trace:
    return _plain(f"xdmod-{cluster}", load_jobs([_file(folder, f"xdmod-{cluster}")], "sacct"))


#: Column of the MIT SuperCloud table -> canonical column, and what to multiply with.
_SUPERCLOUD: Mapping[str, tuple[str, float]] = {
    "submit": ("submit_time", 1.0), "start": ("start_time", 1.0), "end": ("end_time", 1.0), "nodes": ("req_nodes", 1.0),
    "cpus_req": ("req_cpus", 1.0), "mem_req_mb_tres": ("req_mem_mb", 1.0), "gpus_req": ("req_gpus", 1.0),
    "gpus_alloc": ("alloc_gpus", 1.0), "timelimit_min": ("timelimit_s", 60.0),
}  # fmt: skip
_SUPERCLOUD_TEXTS: Mapping[str, str] = {
    "row": "job_id", "user": "user", "partition": "partition", "constraints": "gpu_type", "state": "state",
    "exit_code": "exit_code", "job_type": "qos",
}  # fmt: skip


def _mit_supercloud(folder: Path) -> Trace:
    """No memory was recorded and no job names; the constraint names the type of node that was asked for."""
    table = pd.read_csv(_file(folder, "mit-supercloud"), dtype={"row": str, "exit_code": str})
    jobs = pd.DataFrame({new: table[old].astype(float) * factor for old, (new, factor) in _SUPERCLOUD.items()})
    for old, new in _SUPERCLOUD_TEXTS.items():
        jobs[new] = table[old].astype(object).where(table[old].notna(), None)
    for column in COLUMNS:
        if column.name not in jobs:
            jobs[column.name] = None if column.kind == "text" else np.nan
    return _plain("mit-supercloud", jobs)


def _nextflow(workflow: str, order: str, folder: Path) -> Trace:
    file = _file(folder, f"nextflow-{workflow}")
    jobs = _nextflow_jobs(file)
    if order == "published":
        learning, shown = _published_order(jobs)
    else:
        jobs = jobs.sort_values("submit_time", kind="stable", ignore_index=True)
        shown = np.arange(len(jobs))
        learning = _first_share(jobs)
    jobs, learning = jobs.iloc[shown].reset_index(drop=True), learning[shown]
    if order != "live":
        jobs = one_after_the_other(jobs)
    log = LearningLog.of(jobs)
    # Nextflow measures by itself, from the first second on; the sampling of schedulers, for which runs under 10 s are
    # unknown, is not the trace's.
    log = replace(log, labels=label_jobs(log.jobs, shortest_run_s=0.0))
    types = log.jobs["command"].to_numpy(dtype=object)
    return Trace(
        name=f"nextflow-{workflow}" + ("" if order == "submit" else f"-{order}"), log=log, judged=~learning,
        has_peak=numbers(log.jobs, "peak_mem_mb") > 0, families=[((name,),) for name in types], blocks=types,
        block_unit="task type", mb_per_gb=MB_PER_PUBLISHED_GB, retry_at_maximum=True,
    )  # fmt: skip


def _nextflow_jobs(file: Path) -> pd.DataFrame:
    """The tasks of the published protocol, in the file's order; a task ends its `realtime` after its start."""
    raw = pd.read_csv(file, low_memory=False)
    job_id: pd.Series = raw["task_id"].astype(str) + np.where(raw["attempt"] > 1, "." + raw["attempt"].astype(str), "")
    seen = pd.DataFrame({
        "job_id": job_id, "rss": pd.to_numeric(raw["rss"], errors="coerce"),
        "realtime_s": pd.to_numeric(raw["realtime"], errors="coerce") / 1000,
    })  # fmt: skip
    jobs = seen[seen["rss"] > 0].merge(load_jobs([file], "nextflow"), on="job_id", validate="one_to_one")
    grouped = jobs.groupby("command")["realtime_s"]
    kept = (grouped.transform("size") >= FEWEST_TASKS) & (grouped.transform("min") > 0)
    jobs = jobs[kept].reset_index(drop=True)
    return jobs.assign(end_time=jobs["start_time"] + jobs["realtime_s"]).drop(columns=["rss", "realtime_s"])


def _published_order(jobs: pd.DataFrame) -> tuple[Bools, NDArray[np.intp]]:
    """Which tasks are learnt from, and the order of all: those first, then the judged ones at random."""
    from sklearn.model_selection import train_test_split

    learning = np.zeros(len(jobs), dtype=np.bool_)
    for rows in jobs.groupby("command", sort=False).indices.values():
        train, _ = train_test_split(rows, test_size=JUDGED_SHARE, random_state=SPLIT_SEED)
        learning[train] = True
    shuffled = np.random.default_rng(SPLIT_SEED).permutation(len(jobs))
    return learning, np.concatenate([shuffled[learning[shuffled]], shuffled[~learning[shuffled]]])


def _first_share(jobs: pd.DataFrame) -> Bools:
    """The first tasks of each type, as many as are learnt from in the published protocol."""
    place = jobs.groupby("command").cumcount().to_numpy()
    size = jobs.groupby("command")["command"].transform("size").to_numpy()
    return np.asarray(place < size - np.ceil(JUDGED_SHARE * size))


def one_after_the_other(jobs: pd.DataFrame) -> pd.DataFrame:
    """The jobs on a clock of their own: each is submitted when the one before has ended, and starts at once."""
    run = (jobs["end_time"] - jobs["start_time"]).to_numpy()
    clock = float(jobs["submit_time"].min()) + np.concatenate([[0.0], np.cumsum(run)])
    return jobs.assign(submit_time=clock[:-1], start_time=clock[:-1], end_time=clock[1:])


def _file(folder: Path, log: str) -> Path:
    file = folder / FILES[log]
    if not file.is_file():
        raise LogError(f"there is no {file}; put it there, or choose other logs with --log")
    return file


def missing(folder: Path, logs: Iterable[str]) -> list[str]:
    """The files that the named logs need and the folder lacks."""
    return sorted({FILES[log] for log in logs if not (folder / FILES[log]).is_file()})


Loader = Callable[[Path], Trace]

WORKFLOWS: tuple[str, ...] = ("chipseq", "eager", "iwd", "mag", "methylseq", "rnaseq")
ORDERS: tuple[str, ...] = ("submit", "published", "live")

#: Name -> loader from the folder of traces, for each target that the bench judges.
HOST_MEMORY: dict[str, Loader] = {
    "iu-mason": _iu_mason,
    **{
        f"nextflow-{workflow}" + ("" if order == "submit" else f"-{order}"): partial(_nextflow, workflow, order)
        for order in ORDERS
        for workflow in WORKFLOWS
    },
}
GPU_COUNT: dict[str, Loader] = {"mit-supercloud": _mit_supercloud}
RUN_TIME: dict[str, Loader] = {
    "iu-mason": _iu_mason,
    "mit-supercloud": _mit_supercloud,
    "xdmod-pozidriv": partial(_xdmod, "pozidriv"),
    "xdmod-phillips": partial(_xdmod, "phillips"),
}
#: A log that tells run times tells waits.
WAIT = RUN_TIME
LOADERS: dict[str, Loader] = HOST_MEMORY | GPU_COUNT | RUN_TIME
#: Log -> its file in the folder of traces.
FILES: dict[str, str] = {
    "iu-mason": "iu-mason-2017.pbs-accounting.xz",
    "mit-supercloud": "mit-supercloud-2021.csv.xz",
    "xdmod-pozidriv": "xdmod-pozidriv.sacct.xz",
    "xdmod-phillips": "xdmod-phillips.sacct.xz",
    **{name: f"nextflow/trace_{name.split('-')[1]}.csv.xz" for name in HOST_MEMORY if name.startswith("nextflow-")},
}
