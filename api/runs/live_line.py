"""One line that says where a training is, from what its ranks write down once a second."""

import json
from collections.abc import Sequence
from pathlib import Path

from crowdrun.api.text import duration_text
from crowdrun.training.heartbeat import Beat, read_beats
from crowdrun.training.rank_files import PROGRESS_FILE
from crowdrun.training.supervision.order import last_sample, whole_lines

#: Ranks that are told one by one; of more, the one that holds most.
FEW_RANKS = 4


class LiveLine:
    """The line of one attempt; it remembers where the training was first seen, which gives its speed."""

    def __init__(self, folder: Path, forecast_mb: Sequence[float]) -> None:
        self._folder, self._forecast_mb = folder, forecast_mb
        self._first: Beat | None = None

    def text(self, elapsed_s: float) -> str:
        """Time, epoch, step, loss, samples a second, what is left, and what the ranks hold beside their forecast."""
        beats = read_beats(self._folder)
        parts = [f"{elapsed_s:5.0f} s", *self._training(beats), self._memory(beats)]
        return "  ".join(part for part in parts if part)

    def _training(self, beats: Sequence[Beat]) -> list[str]:
        if not beats or "epoch" not in beats[0].progress:
            return ["starting"]
        now = beats[0]
        told = now.progress
        if self._first is None:
            self._first = now
        steps, steps_in_epoch = told["step_in_epoch"], told["steps_in_epoch"]
        parts = [f"epoch {told['epoch'] + 1:.0f}/{told['epochs']:.0f}", f"step {steps:.0f}/{steps_in_epoch:.0f}"]
        loss = told.get("loss") or self._last_loss()
        if loss is not None:
            parts.append(f"loss {loss:.4f}")
        took_s, made = now.time_s - self._first.time_s, now.step - self._first.step
        if took_s > 0 and made > 0:
            rate = made / took_s
            left = (told["epochs"] - told["epoch"]) * steps_in_epoch - steps
            parts += [f"{rate * told['batch_size']:.0f} samples/s", f"ETA {duration_text(max(left, 0.0) / rate)}"]
        return parts

    def _last_loss(self) -> float | None:
        """Of the epoch before, at the start of one."""
        lines = whole_lines(self._folder / PROGRESS_FILE, size=4096)
        return float(json.loads(lines[-1])["loss"]) if lines else None

    def _memory(self, beats: Sequence[Beat]) -> str:
        held = [beat.progress["held_mb"] for beat in beats if "held_mb" in beat.progress]
        if not held:
            sample = last_sample(self._folder, 0)
            return f"{sample.mem_mb:.0f} MB" if sample else ""
        shown = held if len(held) <= FEW_RANKS else [max(held)]
        forecast = f" (forecast {max(self._forecast_mb):.0f})" if self._forecast_mb else ""
        most = "at most " if len(held) > FEW_RANKS else ""
        return f"ranks hold {most}{', '.join(f'{mb:.0f}' for mb in shown)} MB{forecast}"
