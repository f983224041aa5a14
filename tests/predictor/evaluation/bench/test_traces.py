"""The public logs as the bench takes them, against what is published of them."""

from pathlib import Path

import numpy as np
import pytest

from crowdrun.predictor.evaluation.allocations import request_mb
from crowdrun.predictor.evaluation.bench.host_memory import judged_jobs
from crowdrun.predictor.evaluation.bench.traces import LOADERS, WORKFLOWS
from crowdrun.predictor.learning_log import numbers
from crowdrun.predictor.target import TARGETS_BY_NAME

#: GB·h that the workflows' own requests waste in the published protocol, by an independent replay.
PRESETS = {"chipseq": 261, "eager": 2305, "iwd": 15.9, "mag": 1955, "methylseq": 22596, "rnaseq": 1239}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_the_published_protocol_wastes_by_presets_what_an_independent_replay_found(traces: Path, workflow: str) -> None:
    trace = LOADERS[f"nextflow-{workflow}-published"](traces)
    judged = judged_jobs(trace, trace.judged)
    wasted = judged.attempts(request_mb(trace.log)).waste_gbh.sum()
    assert wasted == pytest.approx(PRESETS[workflow], rel=0.005)


@pytest.mark.parametrize("order", ["", "-published", "-live"])
def test_every_order_judges_as_many_tasks_of_each_type(traces: Path, order: str) -> None:
    trace = LOADERS[f"nextflow-rnaseq{order}"](traces)
    types, judged = np.unique(trace.blocks[trace.judged], return_counts=True)
    _, tasks = np.unique(trace.blocks, return_counts=True)
    assert judged.tolist() == np.ceil(0.7 * tasks).tolist()
    assert len(types) == 30
    if order != "-live":
        # Each task had ended when the next was submitted.
        assert (trace.log.submit_time[1:] >= trace.log.end_time[:-1]).all()


def test_the_supercloud_table_is_a_log_of_gpu_counts(traces: Path) -> None:
    trace = LOADERS["mit-supercloud"](traces)
    held = numbers(trace.log.jobs, "alloc_gpus")
    assert (len(trace.log), int((held > 0).sum())) == (9628, 2401)
    assert trace.log.measured(TARGETS_BY_NAME["gpus"]).mean() > 0.99
    # In seconds; a third of the jobs has none.
    assert np.nanmin(numbers(trace.log.jobs, "timelimit_s")) == 1800
