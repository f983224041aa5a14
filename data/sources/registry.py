"""The table of log readers. A new format is one file, one row here, and it passes the shared contract suite."""

from crowdrun.data.sources.base import LogReader
from crowdrun.data.sources.lsf import LsfReader
from crowdrun.data.sources.nextflow import NextflowReader
from crowdrun.data.sources.pbs import PbsReader
from crowdrun.data.sources.sacct import SacctReader
from crowdrun.data.sources.slurm_json import SlurmJsonReader
from crowdrun.data.sources.swf import SwfReader
from crowdrun.data.sources.table import TableReader

READERS: dict[str, type[LogReader]] = {
    "sacct": SacctReader,
    "slurm-json": SlurmJsonReader,
    "pbs": PbsReader,
    "lsf": LsfReader,
    "swf": SwfReader,
    "nextflow": NextflowReader,
    "table": TableReader,
}
