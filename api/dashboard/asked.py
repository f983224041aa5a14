"""What a person typed on the page `Try it`, as a request: a batch script, and fields that go before its lines."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from crowdrun.api.batch_script import read_script
from crowdrun.api.text import duration_text
from crowdrun.data.errors import RequestError
from crowdrun.data.job import JobRequest

#: Fields of the form that are options of sbatch -> option.
OPTIONS: Mapping[str, str] = {
    "job_name": "job-name", "account": "account", "partition": "partition", "nodes": "nodes", "cpus": "cpus-per-task",
    "mem": "mem", "time": "time", "gpus": "gpus",
}  # fmt: skip
#: Fields that no option tells -> type.
KNOWN: Mapping[str, type] = {"user": str, "model": str, "batch_size": int}
RISK = (0.001, 0.5)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The form as it came: text, empty where nothing was typed."""

    script: str = ""
    fields: Mapping[str, str]
    risk: str = ""

    @classmethod
    def of(cls, form: Mapping[str, str]) -> "Asked":
        fields = {name: form.get(name, "").strip() for name in (*OPTIONS, *KNOWN)}
        return cls(script=form.get("script", "").replace("\r\n", "\n"), fields=fields, risk=form.get("risk", ""))

    @classmethod
    def again(cls, job: Mapping[str, Any]) -> "Asked":
        """The form for a job of the store: to ask what it would be told now."""
        fields = {name: "" if job.get(name) is None else str(job[name]) for name in KNOWN}
        nodes = job["req_nodes"] or 1
        fields |= {
            "job_name": job["job_name"] or "", "account": job["account"] or "", "partition": job["partition"] or "",
            "nodes": str(nodes), "cpus": str(max(1, (job["req_cpus"] or 1))),
            "mem": "" if not job["req_mem_mb"] else f"{round(job['req_mem_mb'] / nodes)}M",
            "time": "" if not job["timelimit_s"] else duration_text(job["timelimit_s"]),
            "gpus": "" if not job["req_gpus"] else str(job["req_gpus"]),
        }  # fmt: skip
        return cls(fields=fields)

    @property
    def is_empty(self) -> bool:
        return not self.script.strip() and not any(self.fields.values())

    def request(self) -> JobRequest:
        """The job that is asked about, as submitted now.

        Raises:
            RequestError: an option or a value that sbatch would refuse.
        """
        given = [(option, self.fields[name]) for name, option in OPTIONS.items() if self.fields[name]]
        known = {name: _typed(name, kind, self.fields[name]) for name, kind in KNOWN.items() if self.fields[name]}
        return read_script(self.script, given=given, submit_time=time.time(), **known)

    def chosen_risk(self, usual: float) -> float:
        """The risk that was chosen, the usual one where nothing was.

        Raises:
            RequestError: not a number within RISK.
        """
        if not self.risk:
            return usual
        try:
            risk = float(self.risk)
        except ValueError:
            risk = -1.0
        if not RISK[0] <= risk <= RISK[1]:
            raise RequestError(f"risk is {self.risk!r}; it must be a number from {RISK[0]} to {RISK[1]}")
        return risk


async def form(request: Request) -> dict[str, str]:
    """The fields of a form that was sent; of a field that comes twice, the last."""
    text = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))


def _typed(name: str, kind: type, text: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise RequestError(f"{name} is {text!r}; it must be a whole number") from error
