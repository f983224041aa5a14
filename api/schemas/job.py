"""A job as it comes in: asked about, in a queue, or ended; described as in the table of `data/columns.py`."""

from pydantic import ConfigDict, Field

from crowdrun.api.schemas.fields import Body, JobId, LongText, Number, Seconds, Share, StateName, Text, Whole, column
from crowdrun.data.columns import BY_NAME
from crowdrun.data.job import REQUEST_FIELDS, JobRequest
from crowdrun.data.queue_state import Queue, QueuedJob
from crowdrun.data.states import STATES

#: Jobs in one request.
BATCH_LIMIT = 10_000
_REQUEST = frozenset(REQUEST_FIELDS)
#: Jobs that wait or run, in one request.
QUEUE_LIMIT = 50_000


class RequestBody(Body):
    """A job as it is known when it is submitted. Every field may be left out: unknown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user": "ada", "job_name": "resnet-7", "req_mem_mb": 65536, "req_cpus": 8, "timelimit_s": 7200}
            ]
        }
    )

    job_id: JobId | None = column("job_id")
    user: Text | None = column("user")
    group: Text | None = column("group")
    account: Text | None = column("account")
    partition: Text | None = column("partition")
    qos: Text | None = column("qos")
    job_name: Text | None = column("job_name")
    command: LongText | None = column("command")
    work_dir: Text | None = column("work_dir")
    submit_time: Seconds | None = column("submit_time")
    req_nodes: Whole | None = column("req_nodes")
    req_cpus: Whole | None = column("req_cpus")
    req_mem_mb: Number | None = column("req_mem_mb")
    req_gpus: Whole | None = column("req_gpus")
    gpu_type: Text | None = column("gpu_type")
    timelimit_s: Seconds | None = column("timelimit_s")
    model: Text | None = column("model")
    params_m: Number | None = column("params_m")
    batch_size: Whole | None = column("batch_size")
    precision: Text | None = column("precision")
    optimizer: Text | None = column("optimizer")

    def to_request(self) -> JobRequest:
        # Ten times as fast as `model_dump`, and a batch has thousands.
        return JobRequest(**{name: value for name, value in vars(self).items() if name in _REQUEST})


class QueuedJobBody(Body):
    """A job that waits, or runs, as the asked one is submitted."""

    user: Text | None = column("user")
    partition: Text | None = column("partition")
    submit_time: Seconds = Field(description=BY_NAME["submit_time"].doc)
    start_time: Seconds | None = Field(default=None, description="when it started; left out, it waits")
    req_nodes: Whole | None = column("req_nodes")
    req_cpus: Whole | None = column("req_cpus")
    req_gpus: Whole | None = column("req_gpus")
    timelimit_s: Seconds | None = column("timelimit_s")

    def to_job(self) -> QueuedJob:
        return QueuedJob(**self.model_dump(exclude_none=True))


class AskedBody(RequestBody):
    """A job that is asked about, and what is in the queue before it."""

    queue: list[QueuedJobBody] | None = Field(
        default=None,
        max_length=QUEUE_LIMIT,
        description="all jobs that wait or run now, for `wait_s`; left out, the wait is told from past waits alone",
    )

    script: LongText | None = Field(
        default=None, description="the batch script: which network its commands train; nothing else is read from it"
    )

    def to_queue(self) -> Queue | None:
        return None if self.queue is None else Queue.of(job.to_job() for job in self.queue)


class JobBody(RequestBody):
    """A job that ended: what it asked for and what it did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "4711",
                    "user": "ada",
                    "job_name": "resnet-7",
                    "submit_time": 1762200000,
                    "start_time": 1762200060,
                    "end_time": 1762203660,
                    "req_mem_mb": 65536,
                    "req_cpus": 8,
                    "state": "COMPLETED",
                    "exit_code": "0:0",
                    "peak_mem_mb": 3890.5,
                }
            ]
        }
    )

    job_id: JobId = Field(description=BY_NAME["job_id"].doc)
    state: StateName = Field(description=f"{BY_NAME['state'].doc}: {', '.join(STATES)}, or one of their other names")
    start_time: Seconds | None = column("start_time")
    end_time: Seconds | None = column("end_time")
    exit_code: Text | None = column("exit_code")
    peak_mem_mb: Number | None = column("peak_mem_mb")
    alloc_gpus: Whole | None = column("alloc_gpus")
    peak_gpu_mem_mb: Number | None = column("peak_gpu_mem_mb")
    gpu_util: Share | None = column("gpu_util")
