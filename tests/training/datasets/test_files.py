"""Files that a user has are read as their makers describe them, and what is broken is named."""

import gzip
import struct
from pathlib import Path

import pytest
import torch

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import TrainingOptions
from crowdrun.training.datasets.cifar10 import FILES, cifar10
from crowdrun.training.datasets.idx import read_idx
from crowdrun.training.datasets.mnist import mnist
from crowdrun.training.datasets.reviews import reviews
from crowdrun.training.datasets.text_windows import text_windows


def from_folder(path: Path) -> TrainingOptions:
    return TrainingOptions(extra={"data": str(path)})


@pytest.fixture
def mnist_folder(tmp_path: Path) -> Path:
    """Two images to train on, gzipped as they are handed out, and one unpacked for the test."""
    for prefix, count, packed in (("train", 2, True), ("t10k", 1, False)):
        images = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + bytes(range(28)) * 28 * count
        labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(range(7, 7 + count))
        for name, content in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            file = tmp_path / (name + ".gz" if packed else name)
            file.write_bytes(gzip.compress(content) if packed else content)
    return tmp_path


def test_the_files_of_mnist_are_read_packed_or_not(mnist_folder: Path) -> None:
    train, test = (mnist(split, from_folder(mnist_folder)) for split in ("train", "test"))  # type: ignore[arg-type]
    assert (len(train), len(test), train.source) == (2, 1, f"MNIST from {mnist_folder}")
    image, label = train[1]
    assert (image.shape, label.item()) == ((1, 28, 28), 8)
    assert image[0, 3].tolist() == pytest.approx([n / 255 for n in range(28)])


def test_without_the_files_the_digits_stand_in_and_say_that_they_are_not_mnist() -> None:
    data = mnist("test", TrainingOptions())
    assert (len(data), data[0][0].shape) == (359, (1, 28, 28))
    assert "not MNIST" in data.source


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG", "begins with 89504e47; an IDX file of unsigned bytes begins with 000008"),
        (struct.pack(">4BI", 0, 0, 8, 1, 5) + b"abc", "holds 3 values in place of 5"),
    ],
)
def test_a_file_that_is_no_idx_or_cut_short_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_idx(tmp_path / "f")


def test_a_folder_without_mnist_is_told_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds none of train-images-idx3-ubyte"):
        mnist("train", from_folder(tmp_path))


def test_the_binary_files_of_cifar_are_read_channel_by_channel(tmp_path: Path) -> None:
    record = bytes([4]) + bytes([255]) * 1024 + bytes([0]) * 1024 + bytes([51]) * 1024
    for name in (*FILES["train"], *FILES["test"]):
        (tmp_path / name).write_bytes(record * 3)
    data = cifar10("train", from_folder(tmp_path))
    image, label = data[14]
    assert (len(data), label.item(), image.shape) == (15, 4, (3, 32, 32))
    assert image.mean((1, 2)).tolist() == pytest.approx([1.0, 0.0, 0.2])
    (tmp_path / "test_batch.bin").write_bytes(record[:-1])
    with pytest.raises(ConfigError, match="has 3072 bytes, no multiple of the 3073"):
        cifar10("test", from_folder(tmp_path))
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(ConfigError, match="it must hold the binary version"):
        cifar10("test", from_folder(tmp_path))


def test_texts_are_read_from_lines_and_split_for_the_test(tmp_path: Path) -> None:
    file = tmp_path / "reviews.tsv"
    file.write_text("".join(f"{n % 2}\tword{n} again\n" for n in range(10)))
    train, test = (reviews(s, from_folder(file), vocabulary=1000, length=4) for s in ("train", "test"))  # type: ignore[arg-type]
    assert (len(train), len(test)) == (8, 2)
    assert [int(test[n][1]) for n in range(2)] == [0, 1]
    assert (test[0][0][:2] == 0).all()
    file.write_text("1\tgood\nbad line\n")
    with pytest.raises(ConfigError, match="line 2"):
        reviews("train", from_folder(file), vocabulary=1000, length=4)


def test_windows_of_a_text_hold_each_byte_and_the_one_after_it(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(bytes(range(100)) * 2)
    data = text_windows("train", from_folder(file), length=10)
    characters, following = data[3]
    assert torch.equal((characters + 1) % 100, following)
    assert torch.equal(data[3][0], characters)
    with pytest.raises(ConfigError, match="has 20 bytes to test on; a window takes 31"):
        text_windows("test", from_folder(file), length=30)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the text"):
        text_windows("train", from_folder(tmp_path / "none"), length=3)
    with pytest.raises(ConfigError, match="cannot read the texts"):
        reviews("train", from_folder(tmp_path / "none"), vocabulary=1000, length=4)
