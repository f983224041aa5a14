"""Where `--dask` finds its workers: at the address of a scheduler, or as jobs of the Slurm cluster that is here.

Sources: Dask's documentation of `distributed.Client`; dask-jobqueue's of `SLURMCluster`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crowdrun.data.errors import ConfigError, LaunchError
from crowdrun.predictor.fitting import fits_run_by
from crowdrun.predictor.scale_out.dask_executor import DaskExecutor

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMCluster
    from distributed import Client

SLURM = "slurm"
#: How long a scheduler, or the first worker, may take to answer, s.
PATIENCE_S = 120


@dataclass(frozen=True, kw_only=True)
class SlurmWorkers:
    """What each job of `--dask slurm` asks for."""

    jobs: int = 2
    cpus: int = 2
    memory_mb: int = 4096
    timelimit_s: int = 3600
    #: Folder that all nodes see, for the workers' spill files and logs; None: where the command was started.
    folder: str | None = None


@contextmanager
def fits_on_dask(where: str | None, slurm: SlurmWorkers | None = None) -> Iterator[None]:
    """Fits that begin within run on Dask workers; None changes nothing. `where` is a scheduler's address, or "slurm".

    Raises:
        ConfigError: Dask is not installed.
        LaunchError: the scheduler does not answer, or no worker comes up.
    """
    if where is None:
        yield
        return
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--dask needs Dask, which is not installed ({error}); run `pip install 'crowdrun[dask]'`"
        ) from error
    with ExitStack() as stack:
        scheduler = stack.enter_context(_slurm_cluster(slurm or SlurmWorkers())) if where == SLURM else where
        try:
            client = stack.enter_context(_client(scheduler))
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise LaunchError(
                f"no Dask worker answers at {where!r} ({error}); "
                "start `dask scheduler` and `dask worker`, or ask for `--dask slurm`"
            ) from error
        stack.enter_context(fits_run_by(DaskExecutor(client)))
        yield


def _client(scheduler: "str | SLURMCluster") -> "Client":
    from distributed import Client

    return Client(scheduler, timeout=PATIENCE_S, set_as_default=False)  # type: ignore[no-untyped-call]


def _slurm_cluster(asked: SlurmWorkers) -> "SLURMCluster":
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise ConfigError(
            f"--dask slurm needs dask-jobqueue, which is not installed ({error}); run `pip install 'crowdrun[dask]'`"
        ) from error
    cluster = SLURMCluster(
        cores=asked.cpus, processes=1, memory=f"{asked.memory_mb}MiB", walltime=_walltime(asked.timelimit_s),
        python=sys.executable, local_directory=asked.folder, log_directory=asked.folder,
        # One thread of a library for each fit: the fits are what is spread.
        job_script_prologue=["export OMP_NUM_THREADS=1"], job_name="crowdrun-fits",
        # Dask's own page: on the loopback interface, at any port.
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
        interface=os.environ.get("CROWDRUN_DASK_INTERFACE"),
    )  # fmt: skip
    cluster.scale(jobs=asked.jobs)  # type: ignore[no-untyped-call]
    return cluster


def _walltime(seconds: int) -> str:
    """Slurm's HH:MM:SS.

    >>> _walltime(5400)
    '01:30:00'
    """
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
