"""Texts of two classes: a file of the user's, or made up.

The made-up ones draw most words evenly and some from a list that one class prefers, with "not" before a few, which
turns them round: so the order of words counts.
"""

import re
import zlib
from pathlib import Path

import torch
from torch import Tensor

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Generated, InMemory, Sample, Samples
from crowdrun.training.task_options import text, whole

#: Numbers of words: 0 fills up short texts, 1 is "not", 2 to 21 are liked, 22 to 41 are disliked.
PADDING, NOT, MOODY = 0, 1, 20


def reviews(split: Split, options: TrainingOptions, *, vocabulary: int, length: int) -> Samples:
    """Numbers of words (length,) and a label, 0 or 1.

    Option `data`: a file of lines `LABEL<tab>TEXT`, every fifth of which is for the test.
    """
    file = text(options, "data")
    if file is not None:
        return _from_file(split, Path(file), vocabulary=vocabulary, length=length)
    size = whole(options, "samples", 1024) if split == "train" else 256

    def make(index: int, random: torch.Generator) -> Sample:
        label = index % 2
        words = torch.randint(2 + 2 * MOODY, vocabulary, (length,), generator=random)
        places = torch.randperm(length // 2, generator=random)[: max(1, length // 4)] * 2
        turned = torch.rand(len(places), generator=random) < 0.3
        mood = torch.randint(MOODY, (len(places),), generator=random) + 2 + MOODY * ((label ^ turned.long()) == 0)
        words[places + 1] = mood
        words[places[turned]] = NOT
        return words, torch.tensor(label)

    return Generated("synthetic texts of two moods", size, seed=5 if split == "train" else 6, make=make)


def _from_file(split: Split, file: Path, *, vocabulary: int, length: int) -> InMemory:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the texts in {file}: {error}") from error
    wrong = next((n for n, line in enumerate(lines, 1) if not re.match(r"[01]\t", line)), None)
    if wrong or len(lines) < 5:
        raise ConfigError(
            f"{file} line {wrong or len(lines)}: it must have 5 lines or more, each '0' or '1', a tab, text"
        )
    chosen = [line for n, line in enumerate(lines) if (n % 5 == 4) == (split == "test")]
    numbers = torch.stack([word_numbers(line[2:], vocabulary=vocabulary, length=length) for line in chosen])
    return InMemory(f"texts from {file}", numbers, torch.tensor([int(line[0]) for line in chosen]))


def word_numbers(words_in: str, *, vocabulary: int, length: int) -> Tensor:
    """The last `length` words as numbers in 1 to vocabulary - 1, by a checksum: no vocabulary has to be kept.

    >>> word_numbers("Good, good!", vocabulary=20000, length=3).tolist()
    [0, 1230, 1230]
    """
    words = re.findall(r"\w+", words_in.lower())[-length:]
    numbers = [1 + zlib.crc32(word.encode()) % (vocabulary - 1) for word in words]
    return torch.tensor([PADDING] * (length - len(numbers)) + numbers)
