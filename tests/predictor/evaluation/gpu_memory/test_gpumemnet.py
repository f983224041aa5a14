"""Generated networks by their layers: what they keep, and who runs out of memory."""

import lzma
from pathlib import Path

import numpy as np
import pytest

from crowdrun.data.errors import LogError
from crowdrun.predictor.evaluation.gpu_memory import gpumemnet_bench
from crowdrun.predictor.evaluation.gpu_memory.gpumemnet_bench import bench_gpumemnet
from crowdrun.predictor.evaluation.gpu_memory.gpumemnet_rows import features_of_layers, read_generated

HEAD = "Filename,Activations-Params,Total Parameters,Batch Size,Max GPU Memory (MiB),Status"


def line(architecture: str, channels: int, batch: int) -> str:
    layers = [("conv2d", 4096, 28 * channels), ("ReLU", 4096, 0), ("conv2d", 4096, (9 * channels + 1) * channels)]
    features = features_of_layers(layers, 3, batch)
    measured = 1700 + 1.3 * features["reserved"]
    status = "OOM_CRASH" if measured > 4000 else "SUCCESSFUL"
    name = f"input_channels:3_num_classes:10_depth:2_arch:{architecture}_base_filters:8_batch:{batch}"
    return f'{name},"{layers}",{sum(count for *_, count in layers)},{batch},{min(measured, 4000):.0f},{status}'


@pytest.fixture
def table(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    lines = [
        line(architecture, int(draw.integers(8, 400)), int(draw.integers(2, 200)))
        for architecture in ("uniform", "pyramid", "dense", "residual", "gradual", "hourglass")
        for _ in range(40)
    ]
    file = tmp_path / "table.csv.xz"
    file.write_bytes(lzma.compress("\n".join([HEAD, *lines, "x,[],0,8,0,SUCCESSFUL"]).encode()))
    return file


def test_a_relu_keeps_its_output_and_dropout_its_output_and_a_mask_of_bytes() -> None:
    conv, relu, drop = ("conv2d", 1024, 112), ("ReLU", 1024, 0), ("dropout", 1024, 0)
    output_mb = 4 * 1024 * 4 * 64 / 2**20
    # The ReLU needs its own output, not the convolution's.
    assert features_of_layers([conv, relu], 3, 64)["activations"] == output_mb
    assert features_of_layers([conv, relu, drop], 3, 64)["activations"] == output_mb * (1 + 1.25)
    # A GELU needs its input, and its output only where the next layer does.
    assert features_of_layers([conv, ("GELU", 1024, 0), drop], 3, 64)["activations"] == output_mb * (1 + 1.25)


def test_sizes_and_crashes_are_told_apart(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpumemnet_bench, "FOLDS", 3)
    found = bench_gpumemnet(table, 0.05, lambda doing, share: None)
    assert found["incomplete"] == 1
    assert found["rows"] + found["out_of_memory"] == 240
    assert found["out_of_memory"] > 10
    for split in ("architecture", "rows"):
        assert found["splits"][split]["median_error"] < 0.03
        assert found["splits"][split]["auc"] > 0.95
        bins = found["splits"][split]["bins"]
        assert bins["1 GB"] <= bins["8 GB"]


def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv.xz"
    file.write_bytes(lzma.compress(b"Filename\nx\n"))
    with pytest.raises(LogError, match="generated networks"):
        read_generated(file)


def test_a_published_table_is_read_whole(traces: Path) -> None:
    rows, incomplete = read_generated(traces / "gpumemnet-cnn.csv.xz")
    assert (len(rows), incomplete) == (1930, 82)
    assert len({row.architecture for row in rows}) == 7
