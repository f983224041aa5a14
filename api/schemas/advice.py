"""What `csbatch` asks and is told over REST: sbatch's options in; one line and the figures that it may set out."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Discriminator, Field, StringConstraints, Tag

from crowdrun.api.advice import advice_line
from crowdrun.api.batch_script import request_from_options
from crowdrun.api.schemas.fields import Body, LongText, Seconds, Text, column
from crowdrun.data.job import JobRequest, Recommendation

#: Components of a heterogeneous job (Slurm's own limit, MAX_HET_JOB_COMPS).
COMPONENTS_LIMIT = 128
OptionName = Annotated[str, StringConstraints(max_length=64)]


class SubmissionBody(Body):
    """A job as `csbatch` sees it: sbatch's options in force, by long name."""

    options: dict[OptionName, LongText] = Field(
        description="sbatch option -> value, over command line, environment and #SBATCH lines",
        examples=[{"mem": "64G", "time": "2:00:00"}],
        max_length=128,
    )
    script: Text | None = Field(default=None, description="name of the script")
    command: LongText | None = Field(default=None, description="the submit line")
    text: LongText | None = Field(
        default=None, description="of the script: which network its commands train; nothing else is read from it"
    )
    user: Text | None = column("user")
    group: Text | None = column("group")
    work_dir: Text | None = column("work_dir")
    submit_time: Seconds | None = column("submit_time")

    @property
    def program(self) -> str | None:
        """What the job runs, as far as it was told."""
        return self.options.get("wrap") or self.text

    def to_request(self) -> JobRequest:
        """The request that the options make.

        Raises:
            RequestError: a value that sbatch would refuse; names the option.
        """
        known = self.model_dump(include={"user", "group", "work_dir", "command", "submit_time"}, exclude_none=True)
        return request_from_options(self.options, script=self.script, **known)


def _one_or_many(value: Any) -> Literal["job", "jobs"]:
    return "jobs" if isinstance(value, list) else "job"


Components = Annotated[list[SubmissionBody], Field(min_length=1, max_length=COMPONENTS_LIMIT)]
AdviceBody = Annotated[
    Annotated[SubmissionBody, Tag("job")] | Annotated[Components, Tag("jobs")], Discriminator(_one_or_many)
]


class AskedAnswer(BaseModel):
    """What the options were understood to ask for, in total over the job's nodes."""

    nodes: int
    cpus: int
    gpus: int
    mem_mb: float | None = Field(description="null: nothing, or a whole node")

    @classmethod
    def of(cls, request: JobRequest) -> Self:
        cpus = request.req_cpus or 1
        return cls(nodes=request.req_nodes or 1, cpus=cpus, gpus=request.req_gpus or 0, mem_mb=request.req_mem_mb)


class AdviceAnswer(BaseModel):
    """What `csbatch` prints, and what it sets where it was asked to; figures are the safe ones, in total."""

    line: str | None = Field(description="one line for the person who submits, or null: nothing to say")
    mem_mb: float | None = Field(description="host memory; null: nothing is said of it")
    ladder_mb: list[float] = Field(description="host memory of the attempts after an out-of-memory end")
    time_s: float | None = Field(description="run time; null: nothing is said of it")
    gpus: int | None = Field(description="GPUs; null: nothing is said of them")
    gpu_mem_mb: float | None = Field(
        default=None, description="memory of one GPU by a forecast, where a well-known network is trained"
    )
    asked: AskedAnswer

    @classmethod
    def of(cls, recommendation: Recommendation) -> Self:
        memory, run_time, gpus = (recommendation.predictions.get(name) for name in ("mem_mb", "run_time_s", "gpus"))
        return cls(
            line=advice_line(recommendation),
            mem_mb=memory.safe if memory else None,
            ladder_mb=list(memory.ladder) if memory else [],
            time_s=run_time.safe if run_time else None,
            gpus=round(gpus.safe) if gpus else None,
            gpu_mem_mb=recommendation.network_forecast.device_mb if recommendation.network_forecast else None,
            asked=AskedAnswer.of(recommendation.request),
        )
