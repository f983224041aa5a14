"""The canonical columns of a job: what every log reader writes, the `table` format holds and the store keeps.

Times are UTC epoch seconds; memory is MB of 2^20 bytes, total of the job over its nodes; empty means unknown.

>>> NAMES[:3], len(NAMES)
(('job_id', 'user', 'group'), 29)
>>> SCHEMA.field("peak_mem_mb").type
DataType(double)
"""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Kind = Literal["text", "integer", "number", "time"]

ARROW_TYPES: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "time": pa.float64(),
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One canonical column."""

    name: str
    kind: Kind
    #: True when the value is known at submit time, so that a prediction may use it.
    at_submit: bool
    doc: str


def _text(name: str, doc: str, *, at_submit: bool = True) -> Column:
    return Column(name=name, kind="text", at_submit=at_submit, doc=doc)


def _integer(name: str, doc: str, *, at_submit: bool = True) -> Column:
    return Column(name=name, kind="integer", at_submit=at_submit, doc=doc)


def _number(name: str, doc: str, *, at_submit: bool = True) -> Column:
    return Column(name=name, kind="number", at_submit=at_submit, doc=doc)


def _time(name: str, doc: str, *, at_submit: bool = True) -> Column:
    return Column(name=name, kind="time", at_submit=at_submit, doc=doc)


COLUMNS: tuple[Column, ...] = (
    _text("job_id", "the scheduler's id; an array task is JOB_TASK; a requeued run has the same id and a later start"),
    _text("user", "who submitted it"),
    _text("group", "the Unix group"),
    _text("account", "the account that is charged"),
    _text("partition", "partition or queue"),
    _text("qos", "quality of service"),
    _text("job_name", "the name given at submission"),
    _text("command", "the script or command line, as far as the log tells"),
    _text("work_dir", "the working directory at submission"),
    _time("submit_time", "when it was submitted"),
    _time("start_time", "when it started", at_submit=False),
    _time("end_time", "when it ended", at_submit=False),
    _integer("req_nodes", "nodes requested"),
    _integer("req_cpus", "CPUs requested, total"),
    _number("req_mem_mb", "host memory requested, MB, total of the job"),
    _integer("req_gpus", "GPUs requested, total"),
    _text("gpu_type", "the type of GPU asked for"),
    _number("timelimit_s", "time limit, s"),
    _text("state", "how it ended, a name of states.py", at_submit=False),
    _text("exit_code", "CODE:SIGNAL as Slurm writes it, or the code alone", at_submit=False),
    _number("peak_mem_mb", "largest host memory held, MB, total of the job; 0 as logged", at_submit=False),
    _integer("alloc_gpus", "GPUs allocated, total", at_submit=False),
    _number("peak_gpu_mem_mb", "largest GPU memory held on one GPU, MB", at_submit=False),
    _number("gpu_util", "mean GPU utilisation over the run, 0 to 1", at_submit=False),
    _text("model", "the network that is trained, e.g. resnet50"),
    _number("params_m", "its parameters, millions"),
    _integer("batch_size", "samples a step, global"),
    _text("precision", "fp32, bf16, fp16, ..."),
    _text("optimizer", "sgd, adamw, ..."),
)

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
AT_SUBMIT: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.at_submit)
BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}

SCHEMA = pa.schema([pa.field(column.name, ARROW_TYPES[column.kind]) for column in COLUMNS])
