"""The places where a job can run. Adding one = one file and one row."""

from collections.abc import Mapping

from crowdrun.training.launch.base import Launcher
from crowdrun.training.launch.local import LocalLauncher
from crowdrun.training.launch.slurm import SlurmLauncher

LAUNCHERS: Mapping[str, type[Launcher]] = {
    "local": LocalLauncher,
    "slurm": SlurmLauncher,
}
