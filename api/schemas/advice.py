"""What `csbatch` sends, and what it prints."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from crowdrun.api.schemas.fields import Body, LongText, Seconds, Text, column


class SubmissionBody(Body):
    """A job as `csbatch` sees it: sbatch's options in force, by long name."""

    options: dict[Annotated[str, StringConstraints(max_length=64)], LongText] = Field(
        description="sbatch option -> value, over command line, environment and #SBATCH lines",
        examples=[{"mem": "64G", "time": "2:00:00"}],
        max_length=128,
    )
    script: Text | None = Field(default=None, description="name of the script")
    command: LongText | None = Field(default=None, description="the submit line")
    user: Text | None = column("user")
    group: Text | None = column("group")
    work_dir: Text | None = column("work_dir")
    submit_time: Seconds | None = column("submit_time")


class AdviceAnswer(BaseModel):
    """What `csbatch` prints."""

    line: str | None = Field(description="one line for the person who submits, or null: nothing to say")
