import json
from dataclasses import asdict
from pathlib import Path

from crowdrun.api.runs.live_line import LiveLine
from crowdrun.training.heartbeat import Beat, beat_file


def beat(folder: Path, rank: int, *, time_s: float, step: int, **progress: float) -> None:
    told = {"epoch": 1, "epochs": 4, "steps_in_epoch": 10, "batch_size": 32} | progress
    one = Beat(rank=rank, time_s=time_s, since_s=time_s, step=step, waits=False, where="x", progress=told)
    beat_file(folder, rank).write_text(json.dumps(asdict(one)))


def test_epoch_step_loss_speed_what_is_left_and_memory_beside_its_forecast(tmp_path: Path) -> None:
    line = LiveLine(tmp_path, [300.0, 300.0])
    assert line.text(1.0) == "    1 s  starting"
    for rank in (0, 1):
        beat(tmp_path, rank, time_s=100.0, step=11, step_in_epoch=1, held_mb=280.0 + rank)
    assert "samples/s" not in line.text(2.0)
    for rank in (0, 1):
        beat(tmp_path, rank, time_s=102.0, step=15, step_in_epoch=5, loss=0.25, held_mb=310.0 + rank)
    assert line.text(4.0) == (
        "    4 s  epoch 2/4  step 5/10  loss 0.2500  64 samples/s  ETA 0:00:13  ranks hold 310, 311 MB (forecast 300)"
    )


def test_of_many_ranks_the_one_that_holds_most_is_told(tmp_path: Path) -> None:
    for rank in range(6):
        beat(tmp_path, rank, time_s=100.0, step=11, step_in_epoch=1, held_mb=200.0 + rank)
    assert LiveLine(tmp_path, []).text(1.0).endswith("ranks hold at most 205 MB")
