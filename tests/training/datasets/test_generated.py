"""Samples that are made up are the same at each call, of both kinds, and as large as they say."""

from itertools import pairwise

import pytest
import torch

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.imagenet import imagenet_like
from crowdrun.training.datasets.reviews import NOT, reviews
from crowdrun.training.datasets.seismic import ricker, seismic_sections

OPTIONS = TrainingOptions(extra={"side": 64, "samples": 20})


def made(split: Split) -> list[Samples]:
    return [
        imagenet_like(split, OPTIONS, side=224),
        reviews(split, OPTIONS, vocabulary=1000, length=20),
        seismic_sections(split, OPTIONS),
    ]


def test_a_sample_is_the_same_at_each_call_and_the_test_set_has_others() -> None:
    for train, again, test in zip(made("train"), made("train"), made("test"), strict=True):
        assert len(train) == 20
        assert all(torch.equal(one, other) for one, other in zip(train[7], again[7], strict=True))
        assert not torch.equal(train[7][0], test[7][0])
        with pytest.raises(IndexError):
            train[20]


def test_an_image_has_the_shape_that_is_asked_for() -> None:
    image, label = imagenet_like("train", OPTIONS, side=224)[13]
    assert (image.shape, label.item()) == ((3, 64, 64), 13)


def test_a_section_has_a_salt_body_without_reflections_inside() -> None:
    sections = seismic_sections("train", OPTIONS)
    for index in range(20):
        section, mask = sections[index]
        assert (section.shape, mask.shape) == ((1, 64, 64), (64, 64))
        assert 0.01 < mask.float().mean() < 0.3


def test_the_wavelet_is_rickers() -> None:
    wavelet = ricker()
    assert wavelet[12] == wavelet.max() == 1
    assert torch.allclose(wavelet, wavelet.flip(0))
    assert abs(float(wavelet.sum())) < 0.05


def test_a_word_of_the_other_mood_has_not_before_it() -> None:
    texts = reviews("train", OPTIONS, vocabulary=1000, length=40)
    for index in range(20):
        words, label = (part.tolist() for part in texts[index])
        for before, word in pairwise(words):
            if 2 <= word < 42:
                friendly = word < 22
                assert (friendly != (before == NOT)) == bool(label)
