"""The memory of one rank of a pipeline: against real ranks of the runner on the CPU, and what the schedules keep."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from crowdrun.data.errors import ConfigError, ForecastError
from crowdrun.data.forecast import Forecast
from crowdrun.predictor.gpu_memory.forecast import forecast_program
from crowdrun.predictor.gpu_memory.program import Program
from tests.predictor.gpu_memory.stage_cases import LAYOUTS, SAMPLES, TASKS, attentive, settings_of
from tests.predictor.gpu_memory.zoo import WIDE

ROOT = Path(__file__).parents[3]
CASES = [*product(["attentive"], LAYOUTS), ("convolutional", "gpipe"), ("convolutional", "1f1b")]


def said_of(name: str, layout: str, world_size: int = 4) -> Forecast:
    return forecast_program(TASKS[name].program(), settings_of(layout, world_size))


def first_layers(said: Forecast) -> list[str]:
    """Of each stage, in the order of the stages: the ranks of a pipeline take turns."""
    each = [rank.layers.split(", ") for rank in said.each_rank]
    return [stages[turn].split("-")[0] for turn in range(len(each[0])) for stages in each]


def real_peaks(world_size: int, cases: list[tuple[str, str, list[str]]], store: Path) -> list[list[int]]:
    """Peak bytes of each case, by rank."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.predictor.gpu_memory.stage_run", str(rank), str(world_size), str(store),
             json.dumps(cases)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(world_size)
    ]  # fmt: skip
    try:
        done = [rank.communicate(timeout=300) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert not any(rank.returncode for rank in ranks), [error[-2000:] for _, error in done]
    return [list(peaks) for peaks in zip(*(json.loads(out.splitlines()[-1]) for out, _ in done), strict=True)]


@pytest.fixture(scope="module")
def said() -> dict[tuple[str, str], Forecast]:
    return {case: said_of(*case) for case in CASES}


def test_each_rank_of_a_pipeline_is_forecast_within_one_percent_of_a_real_rank(
    said: dict[tuple[str, str], Forecast], tmp_path: Path
) -> None:
    real = real_peaks(4, [(*case, first_layers(said[case])) for case in CASES], tmp_path / "store")
    for case, measured in zip(CASES, real, strict=True):
        # The copies of a pipeline are alike.
        each = [rank.allocated_mb * 2**20 for rank in said[case].each_rank] * (4 // len(said[case].each_rank))
        assert each == pytest.approx(measured, rel=0.01), case


def test_the_parameters_of_all_ranks_together_are_the_models(said: dict[tuple[str, str], Forecast]) -> None:
    program, whole = TASKS["attentive"].program(), said["attentive", "gpipe"]
    parts = [forecast_program(program, settings_of("gpipe", 4, rank=rank)).split["parameters"] for rank in range(4)]
    assert sum(parts) * 2**20 == 4 * whole.parameters == 4 * sum(one.numel() for one in attentive().parameters())


def test_what_is_told_is_of_the_rank_that_holds_most(said: dict[tuple[str, str], Forecast]) -> None:
    told = said["attentive", "1f1b"]
    most = max(told.each_rank, key=lambda one: one.allocated_mb)
    assert (told.settings.rank, told.allocated_mb) == (most.rank, most.allocated_mb) == (1, said_of_rank(1))


def said_of_rank(rank: int) -> float:
    return forecast_program(TASKS["attentive"].program(), settings_of("1f1b", 4, rank=rank)).allocated_mb


@pytest.mark.parametrize(("layout", "most"), [("gpipe", 8), ("1f1b", 2)])
def test_gpipe_keeps_all_micro_batches_and_1f1b_as_many_as_stages_follow(layout: str, most: int) -> None:
    """Of two stages, the first: what one more micro-batch adds is all that its layers keep, or buffers alone."""
    program = TASKS["attentive"].program()
    few, many = (forecast_program(program, settings_of(layout, 2, rank=0, micro_batches=parts)) for parts in (4, 8))
    buffers = 4 * 2 * SAMPLES * 64 * 128 * 4 / 2**20
    rise = many.allocated_mb - few.allocated_mb
    assert (rise > 5 * buffers) if most == 8 else (rise < 1.5 * buffers)


def test_what_cannot_be_a_pipeline_is_refused_by_name() -> None:
    with pytest.raises(ForecastError, match="not Language"):
        forecast_program(
            Program(model=WIDE.model, batch=WIDE.batch, loss=WIDE.loss, optimizer=WIDE.optimizer),
            settings_of("gpipe", 2),
        )  # fmt: skip
    with pytest.raises(ForecastError, match="8 layers with parameters, too few for 16 stages"):
        said_of("attentive", "gpipe", 16)
    with pytest.raises(ConfigError, match="forecast in training alone"):
        settings_of("gpipe", 2, training=False)
    with pytest.raises(ConfigError, match="6 ranks cannot be divided into pipelines of 4"):
        settings_of("two of two", 6, pipeline_ranks=4)
