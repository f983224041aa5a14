"""The split that is chosen for a network whose memory is simple arithmetic."""

from dataclasses import replace

import pytest

from crowdrun.data.errors import ConfigError, ForecastError
from crowdrun.data.forecast import PIPELINES, Forecast, ForecastSettings, ModuleMemory, RankPeak
from crowdrun.training.planning.split import Split, choose_split, one_split

#: MB: weights with gradients and optimiser, and each sample's activations.
STATE_MB, SAMPLE_MB = 4000.0, 1000.0
ASKED: list[tuple[int, ForecastSettings]] = []


def ask(micro_batch: int, how: ForecastSettings, *, at_once_mb: float = 0.0) -> Forecast:
    """fsdp divides the state, ddp adds a tenth to it, checkpointing keeps a fifth of the activations."""
    ASKED.append((micro_batch, how))
    state = {
        "single": STATE_MB,
        "ddp": 1.1 * STATE_MB,
        "zero1": STATE_MB,
        "fsdp": at_once_mb + STATE_MB / how.world_size,
    }
    if how.strategy not in state:
        raise ForecastError("the model is no sequence")
    mb = state[how.strategy] + micro_batch * SAMPLE_MB * (0.2 if how.checkpointing else 1.0)
    return Forecast(
        settings=how, parameters=1, allocated_mb=mb, reserved_mb=mb, device_mb=mb, device_basis="made up", split={},
        peak_step=1, peak_phase="forward", tree=ModuleMemory(name="", kind=""),
    )  # fmt: skip


def told(limit_mb: float, gpus: list[int], strategy: str | None = None, batch_size: int = 16) -> tuple[object, ...]:
    split = choose_split(
        ask, batch_size=batch_size, gpus=gpus, limit_mb=limit_mb, margin=lambda _: 1.0, settings=ForecastSettings(),
        strategy=strategy,
    )  # fmt: skip
    return split.strategy, split.world_size, split.micro_batch, split.accumulation, split.checkpointing, split.fits


@pytest.mark.parametrize(
    ("limit_mb", "gpus", "chosen"),
    [
        (20_000, [1], ("single", 1, 16, 1, False, True)),
        (13_000, [1], ("single", 1, 8, 2, False, True)),
        (5_000, [1], ("single", 1, 1, 16, False, True)),
        (4_300, [1], ("single", 1, 1, 16, True, True)),
        (12_500, [2, 4], ("ddp", 2, 8, 1, False, True)),
        (5_300, [2, 4], ("fsdp", 2, 2, 4, False, True)),
        (2_300, [2, 4], ("fsdp", 2, 1, 8, True, True)),
        (2_100, [2, 4], ("fsdp", 4, 1, 4, False, True)),
        (1_000, [2, 4], ("fsdp", 4, 1, 4, True, False)),
    ],
)
def test_accumulation_is_cheapest_then_shards_then_checkpointing_then_more_gpus(
    limit_mb: float, gpus: list[int], chosen: tuple[object, ...]
) -> None:
    assert told(limit_mb, gpus) == chosen


def test_a_strategy_that_a_person_chose_is_kept_also_where_another_would_fit() -> None:
    assert told(4_500, [2], "zero1") == ("zero1", 2, 2, 4, True, True)
    assert told(3_000, [2], "zero1")[-1] is False


def test_the_margin_of_the_risk_counts() -> None:
    split = choose_split(
        ask, batch_size=8, gpus=[1], limit_mb=12_500, margin=lambda _: 1.1, settings=ForecastSettings(), strategy=None
    )
    assert (split.micro_batch, split.forecast_mb, split.needed_mb) == (4, 8000.0, pytest.approx(8800.0))


def test_few_forecasts_are_asked_for() -> None:
    ASKED.clear()
    told(9_000, [1], batch_size=1 << 14)
    assert len(ASKED) <= 8


def test_a_strategy_that_divides_the_model_itself_is_not_forecast() -> None:
    with pytest.raises(ForecastError, match="the strategy tensor divides the model itself"):
        told(9_000, [2], "tensor")


def stages(micro_batch: int, how: ForecastSettings) -> Forecast:
    """One layer has half of the state, which fsdp must have at once, and a stage of a pipeline alone."""
    if how.strategy not in PIPELINES:
        return ask(micro_batch, how, at_once_mb=STATE_MB / 2)
    if how.length > 4:
        raise ForecastError("the model has 4 layers")
    mbs = [STATE_MB / 2] + [STATE_MB / 2 / (how.length - 1)] * (how.length - 1)
    each = [mb + micro_batch * SAMPLE_MB / how.length for mb in mbs]
    ranks = [
        RankPeak(rank=rank, layers="", allocated_mb=mb, reserved_mb=mb, device_mb=mb, kept_mb=mb)
        for rank, mb in enumerate(each)
    ]
    return replace(ask(micro_batch, replace(how, strategy="fsdp")), settings=how, each_rank=tuple(ranks))


def choose(limit_mb: float, gpus: list[int], strategy: str | None = None) -> Split:
    return choose_split(
        stages,
        batch_size=16,
        gpus=gpus,
        limit_mb=limit_mb,
        margin=lambda _: 1.0,
        settings=ForecastSettings(),
        strategy=strategy,
    )


def test_a_pipeline_is_chosen_where_only_its_stages_fit() -> None:
    split = choose(2_600, [4])
    assert (split.strategy, split.micro_batch, split.accumulation, split.fits) == ("pipeline", 2, 2, True)
    assert split.ranks_mb == (2500.0, *[pytest.approx(1166.7, abs=0.1)] * 3)
    assert split.forecast_mb == 2500.0
    assert choose(3_500, [4]).strategy == "fsdp"


def test_on_cpus_the_whole_model_that_is_scored_at_the_end_counts() -> None:
    def large(micro_batch: int, how: ForecastSettings) -> Forecast:
        return replace(stages(micro_batch, how), parameters=100 << 20)

    settings = ForecastSettings(device="cpu")
    split = one_split(large, batch_size=16, ranks=2, strategy="pipeline", settings=settings)
    assert split.ranks_mb == (4000.0 + 400.0,) * 2


def test_ranks_that_are_too_many_for_a_pipeline_are_passed_over() -> None:
    split = choose(100, [4, 8], "pipeline")
    assert (split.world_size, split.fits) == (4, False)
    with pytest.raises(ForecastError, match="the model has 4 layers"):
        choose(100, [8], "pipeline")


def test_each_rank_of_each_copy_of_a_pipeline_is_said() -> None:
    hybrid = ForecastSettings(pipeline_ranks=2)
    split = one_split(stages, batch_size=16, ranks=4, strategy="hybrid", settings=hybrid)
    assert split.micro_batch == 2
    assert split.ranks_mb == (3000.0,) * 4
    with pytest.raises(ConfigError, match="4 ranks cannot be divided into pipelines of 3"):
        one_split(stages, batch_size=16, ranks=4, strategy="hybrid", settings=replace(hybrid, pipeline_ranks=3))


def test_on_cpus_nothing_is_chosen() -> None:
    split = one_split(ask, batch_size=16, ranks=2, strategy="hierarchical", settings=ForecastSettings(device="cpu"))
    assert (split.strategy, split.micro_batch, split.forecast_mb, split.fits) == ("hierarchical", 8, 12_400.0, True)
