"""A forecast of GPU memory for a person at a terminal: the peak, its parts, the modules, and what would fit."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from crowdrun.api.text import memory_text
from crowdrun.data.forecast import PARTS, Fit, Forecast, ModuleMemory
from crowdrun.predictor.explanation.words import percent

#: Children below this share of the peak are told together.
_LEAST_SHARE = 0.01


def show_forecast(forecast: Forecast, *, depth: int, console: Console | None = None) -> None:
    """Print it; modules down to `depth` levels."""
    console = console or Console(highlight=False)
    settings = forecast.settings
    what = "a training step" if settings.training else "the forward pass"
    console.print(
        f"{what} of {forecast.parameters / 1e6:.4g} M parameters in {settings.precision}: the peak is in the "
        f"{forecast.peak_phase} phase of step {forecast.peak_step}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    console.print(_levels(forecast))
    if forecast.each_rank:
        console.print(_ranks(forecast))
    console.print(_split(forecast))
    console.print(_tree(forecast, depth))
    for note in forecast.notes:
        console.print(f"- {note}", markup=False, soft_wrap=True)


def _levels(forecast: Forecast) -> Table:
    table = Table("", "peak", "what it is")
    table.add_row("allocated", memory_text(forecast.allocated_mb), "the tensors, traced")
    table.add_row("reserved", memory_text(forecast.reserved_mb), "what torch's allocator holds for them, simulated")
    table.add_row("device", memory_text(forecast.device_mb), f"the whole card; {forecast.device_basis}")
    return table


def _ranks(forecast: Forecast) -> Table:
    """Of a pipeline; the rank that is spoken of elsewhere is marked."""
    table = Table("rank", "layers", "allocated", "reserved", "device")
    for one in forecast.each_rank:
        figures = (memory_text(mb) for mb in (one.allocated_mb, one.reserved_mb, one.device_mb))
        told = f"{one.rank}, told here" if one.rank == forecast.settings.rank else str(one.rank)
        table.add_row(told, one.layers, *figures)
    return table


def _split(forecast: Forecast) -> Table:
    table = Table("at the peak", "", "share")
    for part in PARTS:
        mb = forecast.split.get(part, 0.0)
        if mb:
            table.add_row(part.replace("_", " "), memory_text(mb, up=False), percent(mb / forecast.allocated_mb))
    return table


def _tree(forecast: Forecast, depth: int) -> Tree:
    top = Tree(_line(forecast.tree))
    _grow(top, forecast.tree, depth, forecast.tree.nbytes * _LEAST_SHARE)
    return top


def _grow(branch: Tree, node: ModuleMemory, depth: int, least: float) -> None:
    if not depth:
        return
    small = [child for child in node.children if 0 < child.nbytes < least]
    for child in node.children:
        if child.nbytes >= least:
            _grow(branch.add(_line(child)), child, depth - 1, least)
    if small:
        branch.add(f"{len(small)} others, {memory_text(sum(child.nbytes for child in small) / 2**20, up=False)}")


def _line(node: ModuleMemory) -> str:
    parts = sorted((part for part in node.parts.items() if part[1] >= 2**19), key=lambda part: -part[1])
    told = ", ".join(f"{name.replace('_', ' ')} {memory_text(nbytes / 2**20, up=False)}" for name, nbytes in parts[:3])
    name = " ".join(word for word in (node.name, node.kind) if word)
    return f"{name}  {memory_text(node.nbytes / 2**20, up=False)}" + (f"  ({told})" if told else "")


def show_fit(fit: Fit, console: Console | None = None) -> None:
    """Print whether it fits, the largest that does, and what would make it fit."""
    console = console or Console(highlight=False)
    for line in _fit_lines(fit):
        console.print(line, markup=False, soft_wrap=True)
    if fit.remedies:
        table = Table("to make it fit", "needs", "fits", "cost")
        for one in fit.remedies:
            name = one.name
            if name == "accumulation":
                name = f"accumulation over {one.settings.accumulation}"
            elif name == "fsdp":
                name = f"fsdp over {one.settings.world_size}"
            table.add_row(name, memory_text(one.needed_mb), "yes" if one.fits else "no", one.cost)
        console.print(table)


def _fit_lines(fit: Fit) -> Iterator[str]:
    limit, risk = memory_text(fit.limit_mb), percent(fit.risk)
    verdict = "fits into" if fit.fits else "does not fit into"
    yield (
        f"a micro-batch of {fit.micro_batch} needs {memory_text(fit.needed_mb)} with the margin for a risk of {risk}: "
        f"it {verdict} {limit}"
    )
    largest = fit.largest_micro_batch
    yield f"the largest micro-batch that fits is {largest}" if largest else "not even one sample fits"
