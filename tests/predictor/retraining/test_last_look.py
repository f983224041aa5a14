"""What the triggers saw is kept for who asks later."""

from pathlib import Path

from crowdrun.predictor.retraining.drift import Alarm
from crowdrun.predictor.retraining.last_look import FILE, LastLook
from crowdrun.predictor.retraining.triggers import Coverage, Watched


def test_a_look_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    watched = Watched(
        coverage={"mem_mb": Coverage(judged=300, share=0.9)},
        alarms=[Alarm(target="mem_mb", what="loss", row=3, after=40)],
    )
    look = LastLook.of(when=5.0, model_id="m", fired="coverage", said=["count: few", "coverage: 90%"], watched=watched)
    look.write(tmp_path)
    assert LastLook.last(tmp_path) == look
    assert look.alarms == ["loss for mem_mb changed (seen after 40 jobs)"]


def test_a_look_that_needed_no_watch_says_nothing_of_coverage(tmp_path: Path) -> None:
    LastLook.of(when=5.0, model_id="m", fired="count", said=["count: many"], watched=None).write(tmp_path)
    look = LastLook.last(tmp_path)
    assert look is not None
    assert look.coverage is look.alarms is None


def test_without_a_look_or_with_a_damaged_one_there_is_none(tmp_path: Path) -> None:
    assert LastLook.last(tmp_path) is None
    (tmp_path / FILE).write_text("{")
    assert LastLook.last(tmp_path) is None
