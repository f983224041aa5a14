"""A plan with its layout, for a network whose memory is simple arithmetic (`test_split.ask`)."""

from dataclasses import replace
from pathlib import Path

import pytest

from crowdrun.data.errors import ForecastError
from crowdrun.data.forecast import Forecast, ForecastSettings
from crowdrun.data.task import TrainingOptions
from crowdrun.training.job import Job, Resources, TaskSpec, command_job
from crowdrun.training.planning.forecaster import Correction, Forecaster
from crowdrun.training.planning.layout import planned_job, with_layout
from crowdrun.training.planning.plan import Machine, Plan
from crowdrun.training.planning.topology import NodeCards
from crowdrun.training.strategies.settings import StrategySpec, strategy_spec
from tests.training.planning.test_split import ask

NODE = NodeCards(count=4, card_mb=5_300.0, sockets=(0, 0, 1, 1))
CARDS = Machine(name="local", memory_mb=64_000.0, gpus=4, nodes=(NODE,), site="here")
CPUS = Machine(name="local", memory_mb=64_000.0, gpus=0, site="here")
FORECASTER = Forecaster(ask=ask, margin=lambda _: 1.0, process_mb=300.0)


def job_of(strategy: StrategySpec | str = "auto", *, ranks: int = 1, resources: Resources | None = None) -> Job:
    task = TaskSpec(target="m", options=TrainingOptions(batch_size=16), strategy=strategy_spec(strategy))
    return Job(
        name="m", command=("m",), work_dir=Path("/w"), ranks=ranks, resources=resources or Resources(), task=task
    )


def plan_of(*, gpus: int | None = None, mem_mb: float | None = None) -> Plan:
    return Plan(machine="local", mem_mb=mem_mb, ladder=(), timelimit_s=None, gpus=gpus)


def test_a_task_gets_ranks_strategy_micro_batch_and_cards() -> None:
    job = job_of()
    plan = with_layout(plan_of(gpus=2), job, CARDS, FORECASTER)
    made = planned_job(job, plan)
    assert plan.placement
    assert plan.placement.cards == ((0, 1),)
    assert made.task
    assert (made.ranks, made.task.strategy.name, made.task.options.micro_batch) == (2, "fsdp", 2)
    assert made.task.options.batch_size == 16
    assert plan.rank_forecast_mb == (4000.0, 4000.0)


def test_what_fits_on_no_fewer_gpus_gets_more_of_them() -> None:
    machine = replace(CARDS, nodes=(replace(NODE, card_mb=2_100.0),))
    plan = with_layout(plan_of(gpus=1), job_of(), machine, FORECASTER)
    assert plan.gpus == 4
    assert any("GPUs 4 in place of 1" in reason for reason in plan.reasons)


def test_no_more_gpus_than_a_person_asked_for() -> None:
    machine = replace(CARDS, nodes=(replace(NODE, card_mb=2_100.0),))
    plan = with_layout(plan_of(gpus=2), job_of(resources=Resources(gpus=2)), machine, FORECASTER)
    assert plan.split
    assert (plan.gpus, plan.split.checkpointing, plan.split.fits) == (2, True, False)
    assert any("does not fit" in reason for reason in plan.reasons)


def test_what_earlier_runs_taught_makes_the_card_smaller() -> None:
    taught = replace(FORECASTER, corrections={"cuda": Correction(mb=1500.0, runs=3)})
    job = job_of("ddp")
    before, after = (with_layout(plan_of(gpus=1), job, CARDS, one) for one in (FORECASTER, taught))
    assert before.split
    assert after.split
    assert (before.split.micro_batch, before.split.checkpointing) == (1, False)
    assert after.split.world_size > 1 or after.split.checkpointing or not after.split.fits
    assert max(after.rank_forecast_mb) == after.split.forecast_mb + 1500


def test_on_cpus_the_forecast_of_all_ranks_stands_in_where_nobody_spoke_of_memory() -> None:
    job = job_of(ranks=2)
    plan = with_layout(plan_of(), job, CPUS, FORECASTER)
    assert plan.rank_forecast_mb == (12_700.0, 12_700.0)
    assert plan.mem_mb == 1.25 * (2 * 12_700 + 300)
    assert plan.ladder == (64_000.0,)
    assert with_layout(plan_of(mem_mb=9_000.0), job, CPUS, FORECASTER).mem_mb == 9_000.0
    made = planned_job(job, plan)
    assert made.task
    assert (made.ranks, made.task.strategy.name, made.task.options.micro_batch) == (2, "ddp", None)


def test_without_a_forecast_the_job_runs_as_it_was_asked_for() -> None:
    def refuse(micro_batch: int, how: ForecastSettings) -> Forecast:
        raise ForecastError("its step reads a value")

    broken = replace(FORECASTER, ask=refuse)
    for machine, job in ((CARDS, job_of(ranks=2)), (CPUS, job_of(ranks=2))):
        for forecaster in (None, broken):
            plan = with_layout(plan_of(), job, machine, forecaster)
            made = planned_job(job, plan)
            assert made.task
            assert (plan.split, made.ranks, made.task.strategy.name) == (None, 2, "ddp")
            assert forecaster is None or any("its step reads a value" in reason for reason in plan.reasons)


def test_the_memory_of_a_card_that_nobody_knows_is_asked_for() -> None:
    machine = replace(CARDS, nodes=(NodeCards(count=2),))
    plan = with_layout(plan_of(gpus=2), job_of(), machine, FORECASTER)
    assert plan.split is None
    assert any("the memory of a card is not known (card_mb, or --card)" in reason for reason in plan.reasons)
    known = with_layout(plan_of(gpus=2), job_of(resources=Resources(card_mb=5_300.0)), machine, FORECASTER)
    assert known.split


def test_a_scheduler_is_asked_for_no_gpus_that_nobody_asked_for_and_the_nodes_stay() -> None:
    slurm = Machine(name="slurm", scheduled=True, nodes=(NODE, NODE), site="slurm")
    job = job_of(ranks=2, resources=Resources(nodes=2))
    plan = with_layout(plan_of(), job, slurm, FORECASTER)
    made = planned_job(job, plan)
    assert (plan.gpus, plan.placement, made.ranks, made.resources.nodes) == (None, None, 2, 2)
    with_gpus = with_layout(plan_of(gpus=4), job_of(ranks=4, resources=Resources(gpus=4, nodes=2)), slurm, FORECASTER)
    assert with_gpus.placement
    assert with_gpus.placement.nodes == 2


@pytest.mark.parametrize("machine", [CARDS, CPUS])
def test_a_command_is_left_alone(machine: Machine) -> None:
    job, plan = command_job(["python", "x.py"], work_dir=Path("/w")), plan_of(gpus=2)
    assert with_layout(plan, job, machine, FORECASTER) == plan
    assert planned_job(job, plan) == job
