"""What was traced is kept, and traced once; timm's own models only where timm is."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from crowdrun.data.errors import ConfigError
from crowdrun.predictor.evaluation.gpu_memory import traced_rows
from crowdrun.predictor.evaluation.gpu_memory.timm_rows import MeasuredRow
from crowdrun.predictor.evaluation.gpu_memory.traced_rows import TracedModel, cached_models, trace_rows
from crowdrun.predictor.gpu_memory.learned.features import NAMES

ROWS = [MeasuredRow(model=model, batch=batch, measured_mb=1.0) for model in ("a", "b") for batch in (8, 16)]


def no_progress(doing: str, share: float) -> None:
    del doing, share


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were traced, in order; what they hold is the batch."""
    found: list[str] = []

    def trace(model: str, batches: list[int]) -> TracedModel:
        found.append(model)
        features = {batch: dict.fromkeys(NAMES, float(batch)) for batch in batches}
        return TracedModel(model=model, family="f", features=features, parameters=7, traced=(8, 16))

    monkeypatch.setattr(traced_rows, "trace_model", trace)
    return found


def test_a_model_is_traced_once_and_read_again(tmp_path: Path, asked: list[str]) -> None:
    first = trace_rows(ROWS, tmp_path / "cache", no_progress)
    again = trace_rows(ROWS, tmp_path / "cache", no_progress)
    assert asked == ["a", "b"]
    assert first == again


def test_a_line_that_was_cut_off_is_traced_again(tmp_path: Path, asked: list[str]) -> None:
    cache = tmp_path / "cache"
    whole = trace_rows(ROWS, cache, no_progress)
    cache.write_bytes(cache.read_bytes()[:-20])
    assert trace_rows(ROWS, cache, no_progress) == whole
    assert asked == ["a", "b", "b"]
    assert cached_models(cache) == whole


def test_a_batch_that_the_cache_lacks_is_traced(tmp_path: Path, asked: list[str]) -> None:
    trace_rows(ROWS, tmp_path / "cache", no_progress)
    more = [*ROWS, MeasuredRow(model="b", batch=32, measured_mb=1.0)]
    assert trace_rows(more, tmp_path / "cache", no_progress)["b"].features.keys() == {8, 16, 32}
    assert asked == ["a", "b", "b"]


def test_a_file_that_is_no_cache_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter"
    file.write_text("dear reader\n")
    with pytest.raises(ConfigError, match="letter is no cache of traced models"):
        trace_rows(ROWS, file, no_progress)
    assert file.read_text() == "dear reader\n"


@pytest.mark.skipif(find_spec("timm") is None or find_spec("torchvision") is None, reason="timm is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_model_of_timm_is_traced_at_two_batches_and_known_between(tmp_path: Path) -> None:
    rows = [MeasuredRow(model="test_resnet", batch=batch, measured_mb=1.0) for batch in (8, 16, 32)]
    found = trace_rows(rows, tmp_path / "cache", no_progress)["test_resnet"]
    assert (found.family, found.traced) == ("resnet", (8, 32))
    assert found.features[8]["reserved"] <= found.features[16]["reserved"] <= found.features[32]["reserved"]
    assert found.features[8]["parameters"] == pytest.approx(found.parameters * 4 / 2**20, rel=0.1)
