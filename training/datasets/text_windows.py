"""Windows of a text, as bytes: a file of the user's, or the language reference that Python itself brings along."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Generated, Sample
from crowdrun.training.task_options import text, whole

#: Of the text, at its end, for the test.
TEST_SHARE = 0.1


def text_windows(split: Split, options: TrainingOptions, *, length: int, alphabet: int = 256) -> Generated:
    """Bytes (length,) and the byte after each (length,); those that the alphabet lacks are its last.

    Option `data`: a text file; `samples`: how many windows.
    """
    source, content = _content(options)
    first = round(len(content) * (1 - TEST_SHARE))
    part = content[:first] if split == "train" else content[first:]
    if len(part) <= length:
        raise ConfigError(f"{source} has {len(part)} bytes to {split} on; a window takes {length + 1}")
    numbers = torch.frombuffer(bytearray(part), dtype=torch.uint8)
    size = whole(options, "samples", max(1, len(part) // length)) if split == "train" else 64

    def make(index: int, random: torch.Generator) -> Sample:
        del index
        start = int(torch.randint(len(numbers) - length, (), generator=random))
        window = numbers[start : start + length + 1].long().clamp_max(alphabet - 1)
        return window[:-1], window[1:]

    return Generated(source, size, seed=7 if split == "train" else 8, make=make)


def _content(options: TrainingOptions) -> tuple[str, bytes]:
    file = text(options, "data")
    if file is not None:
        try:
            return f"text from {file}", Path(file).read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read the text in {file}: {error.strerror}") from error
    topics: Mapping[str, str] = import_module("pydoc_data.topics").topics
    return "Python's own language reference, as bytes", "".join(topics[name] for name in sorted(topics)).encode()
