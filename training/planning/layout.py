"""How the ranks of a task are laid out: GPUs, micro-batch, strategy, cards; added to a plan, with the reasons. Pure."""

import math
from collections.abc import Sequence
from dataclasses import replace

from crowdrun.data.errors import ConfigError, ForecastError
from crowdrun.data.forecast import PIPELINES, ForecastSettings
from crowdrun.training.job import Job, TaskSpec
from crowdrun.training.planning.forecaster import Forecaster
from crowdrun.training.planning.placement import chosen, place
from crowdrun.training.planning.plan import Machine, Plan
from crowdrun.training.planning.split import Split, choose_split, one_split
from crowdrun.training.strategies.settings import AUTO, HybridSettings, PipelineSettings, strategy_spec

#: What the forecast of host memory leaves out grows with it: buffers of the network, copies of batches, fragments.
HOST_MARGIN = 1.25


def with_layout(plan: Plan, job: Job, machine: Machine, forecaster: Forecaster | None) -> Plan:
    """The plan of a task with its split and placement; that of a command as it is."""
    if job.task is None:
        return plan
    if uses_cards(plan, machine):
        return _placed(_on_cards(plan, job, job.task, machine, forecaster), job, job.task, machine)
    return _on_cpus(plan, job, job.task, machine, forecaster)


def planned_job(job: Job, plan: Plan) -> Job:
    """The job as the plan has it run: its ranks, nodes, strategy and micro-batch."""
    if job.task is None:
        return job
    task, split, nodes = job.task, plan.split, plan.placement.nodes if plan.placement else job.resources.nodes
    strategy = task.strategy
    if strategy.name == AUTO:
        strategy = strategy_spec(split.strategy if split and split.strategy != "single" else "ddp")
    options = task.options
    if split and split.checkpointing:
        options = replace(options, activation_checkpointing=True)
    if split and split.accumulation > 1:
        options = replace(options, micro_batch=split.micro_batch)
    ranks = sum(len(cards) for cards in plan.placement.cards) if plan.placement else job.ranks
    return replace(
        job,
        ranks=ranks,
        resources=replace(job.resources, nodes=nodes),
        task=replace(task, strategy=strategy, options=options),
    )


def uses_cards(plan: Plan, machine: Machine) -> bool:
    """Whether the ranks of a task get GPUs: of a scheduler those that are asked for, of this machine those that are
    there, unless it is told not to."""
    return bool(machine.nodes) and (bool(plan.gpus) if machine.scheduled else plan.gpus != 0)


def _on_cards(plan: Plan, job: Job, task: TaskSpec, machine: Machine, forecaster: Forecaster | None) -> Plan:
    card_mb = job.resources.card_mb or min((n.card_mb for n in machine.nodes if n.card_mb), default=None)
    if forecaster is None:
        return _because(plan, "split: as asked for; nothing was forecast")
    if card_mb is None:
        return _because(plan, "split: as asked for; the memory of a card is not known (card_mb, or --card)")
    more = forecaster.corrections.get("cuda")
    try:
        settings = _settings(task, "cuda")
        split = choose_split(
            forecaster.ask, batch_size=task.options.batch_size, gpus=_counts(plan, job, machine),
            limit_mb=card_mb - (more.mb if more else 0.0), margin=forecaster.margin, settings=settings,
            strategy=None if task.strategy.name == AUTO else task.strategy.name,
        )  # fmt: skip
    except ForecastError as error:
        return _because(plan, f"split: as asked for; {error}")
    expected = tuple(mb + (more.mb if more else 0.0) for mb in split.ranks_mb)
    reasons = [_split_reason(split, card_mb, task.options.batch_size, settings.micro_batches)]
    if plan.gpus is not None and split.world_size > plan.gpus:
        reasons.append(f"GPUs {split.world_size} in place of {plan.gpus}: on fewer nothing that was tried fits")
    if not split.fits:
        reasons.append("the forecast does not fit; the run is started all the same, and may run out of GPU memory")
    if more:
        reasons.append(f"GPU memory: corrected by {more.mb:+.0f} MB, what {more.runs} runs here taught")
    return _because(replace(plan, split=split, gpus=split.world_size, rank_forecast_mb=expected), *reasons)


def _counts(plan: Plan, job: Job, machine: Machine) -> list[int]:
    """The number of the plan first, then twice as many, up to all; never more than a person asked for."""
    there = sum(len(node.usable) for node in machine.nodes)
    most = min(there, job.resources.gpus or (job.ranks if job.ranks > 1 else there))
    first = max(1, min(plan.gpus or job.ranks, most))
    return sorted({*(first << power for power in range(most.bit_length()) if first << power <= most), most, first})


def _placed(plan: Plan, job: Job, task: TaskSpec, machine: Machine) -> Plan:
    ranks = plan.split.world_size if plan.split else plan.gpus or job.ranks
    strategy = plan.split.strategy if plan.split else task.strategy.name
    how, why = chosen(job.resources.placement, strategy)
    # More than one node is a person's own choice; one is what a job has that says nothing.
    exactly = job.resources.nodes if job.resources.nodes > 1 else None
    found = place(machine.nodes, ranks, how, why, exactly=exactly)
    if found is None:
        return _because(
            plan, f"placement: there are not {ranks} free GPUs in equal parts of nodes; left to the machine"
        )
    return _because(replace(plan, placement=found), found.reason)


def _on_cpus(plan: Plan, job: Job, task: TaskSpec, machine: Machine, forecaster: Forecaster | None) -> Plan:
    if forecaster is None:
        return plan
    name = "ddp" if task.strategy.name == AUTO else task.strategy.name
    try:
        settings = _settings(task, "cpu")
        split = one_split(
            forecaster.ask, batch_size=task.options.batch_size, ranks=job.ranks, strategy=name, settings=settings
        )
    except (ConfigError, ForecastError) as error:
        return _because(plan, f"no forecast: {error}")
    more = forecaster.corrections.get("cpu")
    base = more.mb if more else forecaster.process_mb
    each = tuple(mb + base for mb in split.ranks_mb)
    rest = f"{more.mb:.0f} more, as {more.runs} runs here taught" if more else f"{base:.0f} for Python and torch"
    about, in_a_step = _range(each), _range(split.ranks_mb)
    reason = f"each of {job.ranks} rank(s) holds about {about} MB: {in_a_step} in a step, and {rest}"
    plan = _because(replace(plan, split=split, rank_forecast_mb=each), reason)
    # On each node there is torchrun's agent too, which loads torch as well.
    together = sum(each) + forecaster.process_mb * job.resources.nodes
    return plan if plan.mem_mb is not None else _with_memory(plan, HOST_MARGIN * together, machine)


def _with_memory(plan: Plan, mem_mb: float, machine: Machine) -> Plan:
    """Only where nobody said anything about memory: what the forecast says, and twice and four times that."""
    most = machine.memory_mb if machine.memory_mb is not None else math.inf
    first = float(math.ceil(min(mem_mb, most)))
    rungs = tuple(sorted({float(math.ceil(min(first * k, most))) for k in (2, 4)} - {first}))
    reason = f"memory {first:.0f} MB: the forecast of all ranks and of what starts them, and a quarter more"
    kept = tuple(one for one in plan.reasons if not one.startswith("memory: no limit"))
    return replace(plan, mem_mb=first, ladder=rungs, reasons=(*kept, reason))


def _settings(task: TaskSpec, device: str) -> ForecastSettings:
    """How the step of a task is forecast, but for the strategy and the ranks.

    Raises:
        ForecastError: its copies are divided in a way that is not forecast.
    """
    settings = ForecastSettings(
        precision=task.options.precision, checkpointing=task.options.activation_checkpointing, device=device
    )
    told = task.strategy.settings
    if isinstance(told, PipelineSettings):
        settings = replace(settings, schedule=told.schedule, micro_batches=told.micro_batches)
    if isinstance(told, HybridSettings) and told.inside == "tensor":
        raise ForecastError("copies whose matrices are divided (hybrid with inside = tensor) are not forecast")
    if isinstance(told, HybridSettings):
        settings = replace(settings, pipeline_ranks=told.pipeline_ranks)
    return settings


def _range(each: Sequence[float]) -> str:
    """
    >>> _range([12.0, 12.2]), _range([300.0, 512.0, 400.0])
    ('12', '300 to 512')
    """
    low, high = f"{min(each):.0f}", f"{max(each):.0f}"
    return low if low == high else f"{low} to {high}"


def _split_reason(split: Split, card_mb: float, batch_size: int, micro_batches: int) -> str:
    count = split.accumulation * (micro_batches if split.strategy in PIPELINES else 1)
    pieces = f" in {count} pieces" if count > 1 else ""
    recomputed = ", activations computed again" if split.checkpointing else ""
    return (
        f"split: {batch_size} samples a step over {split.world_size} GPU(s) by {split.strategy}, "
        f"{split.micro_batch} at once{pieces}{recomputed}: {_range(split.ranks_mb)} MB forecast, "
        f"{split.needed_mb:.0f} with the margin of the risk, of a card of {card_mb:.0f}"
    )


def _because(plan: Plan, *reasons: str) -> Plan:
    return replace(plan, reasons=(*plan.reasons, *reasons))
