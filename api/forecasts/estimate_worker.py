"""The process that traces for the service: a body a line on standard input, an answer a line on standard output.

    python -m crowdrun.api.forecasts.estimate_worker [CORRECTION]

The service itself never imports torch. This process stays, so that torch is imported once; it ends when its input does,
also in the middle of a trace, and takes only so much memory.
"""

import io
import json
import os
import queue
import resource
import sys
import threading
from pathlib import Path
from typing import Any

from crowdrun.api.forecasts.card import device_model
from crowdrun.api.forecasts.forecasting import Ask, ask_description, ask_task, in_steps
from crowdrun.api.forecasts.known_networks import known_network
from crowdrun.api.schemas.estimate import EstimateAnswer, EstimateBody
from crowdrun.data.description.model import ModelDescription
from crowdrun.data.errors import ConfigError, CrowdrunError, DescriptionError, ForecastError
from crowdrun.data.task import TrainingOptions
from crowdrun.predictor.gpu_memory.device import UNMEASURED, DeviceModel
from crowdrun.training.models.table import task_named

#: On top of what the process holds once it is ready; a residual network of 16,000 layers takes 0.3.
MEMORY_BYTES = 3 << 30
#: Below the service, which is to answer meanwhile.
NICENESS = 5
#: What it says when it can be asked.
READY = b"ready\n"
_FIRST = {"model": {"input": {"shape": [8]}, "layers": [{"kind": "linear", "features": 8}]}}


def main(correction: Path | None = None) -> None:
    """Answer until the input ends."""
    overhead = device_model(correction)
    answers = _own_output()
    os.nice(NICENESS)
    import torch

    torch.set_num_threads(1)
    # What torch imports for its first trace takes as long as torch itself.
    estimated(EstimateBody.model_validate(_FIRST))
    _limit_memory()
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    answers.write(READY)
    while True:
        answers.write(json.dumps(answer(lines.get(), overhead)).encode() + b"\n")


def answer(line: bytes, overhead: DeviceModel = UNMEASURED) -> dict[str, Any]:
    """What is told of one body: `answer`, or `error` (a class of ours) and `message`."""
    try:
        return {"answer": estimated(EstimateBody.model_validate_json(line), overhead).model_dump()}
    except (DescriptionError, ForecastError) as error:
        return {"error": type(error).__name__, "message": str(error)}
    except ConfigError as error:
        return {"error": DescriptionError.__name__, "message": str(error)}
    except MemoryError:
        told = f"the trace itself takes more than {MEMORY_BYTES >> 30} GiB; ask for fewer layers or smaller options"
        return {"error": ForecastError.__name__, "message": told}
    except Exception as error:
        return {"error": CrowdrunError.__name__, "message": f"the trace failed: {type(error).__name__}: {error}"}


def estimated(body: EstimateBody, overhead: DeviceModel = UNMEASURED) -> EstimateAnswer:
    """The forecast that is asked for.

    Raises:
        DescriptionError, ConfigError: it cannot be built, or not so.
        ForecastError: it cannot be traced.
    """
    ask, how = _ask(body, overhead), body.settings()
    said = ask(body.micro_batch, how)
    fitted = None
    if body.fit is not None:
        from crowdrun.predictor.gpu_memory.fit import fit

        risk = body.fit.risk or 0.05
        fitted = fit(in_steps(ask), body.micro_batch, how, limit_mb=body.fit.limit_mb, risk=risk, overhead=overhead)
    return EstimateAnswer.of(said, body, fitted)


def _ask(body: EstimateBody, overhead: DeviceModel) -> Ask:
    if isinstance(body.model, ModelDescription):
        return ask_description(body.model, body.optimizer, overhead)
    built_in = task_named(*known_network(body.model))
    options = TrainingOptions(
        **{**built_in.training, "optimizer": body.optimizer, "precision": body.precision}, extra=built_in.options
    )
    return ask_task(built_in.module, options, overhead)


def _own_output() -> io.FileIO:
    """Standard output for answers alone: what a library prints goes to standard error."""
    own = io.FileIO(os.dup(1), "w")
    os.dup2(2, 1)
    return own


def _limit_memory() -> None:
    """Private memory that can be written (RLIMIT_DATA, `man setrlimit`); the range of phantoms is among it already."""
    from crowdrun.predictor.gpu_memory.phantom import PhantomMemory

    PhantomMemory()
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no path is made
        pages = int(file.read().split()[5])
    resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + MEMORY_BYTES, resource.RLIM_INFINITY))


def _read(lines: "queue.SimpleQueue[bytes]") -> None:
    """In a thread of its own: a service that has gone is noticed in the middle of a trace too."""
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
