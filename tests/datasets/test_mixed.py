"""Mixtures of datasets."""

from collections import Counter

import pytest

from alps_exp.datasets import MixedDataset


class Numbers:
    """Gives back what it was asked for."""

    def __init__(self, name, length, channels=3):
        self.name, self.length, self.channels = name, length, channels

    def __len__(self):
        return self.length

    def __getitem__(self, item):
        return {"image_id": self.name, "item": item}


def test_without_shares_each_item_comes_once():
    mixture = MixedDataset([Numbers("a", 2), Numbers("b", 3)])
    items = [mixture[i, 10 + i] for i in range(len(mixture))]
    assert [(i["image_id"], i["item"]) for i in items] == [
        ("a", (0, 10)),
        ("a", (1, 11)),
        ("b", (0, 12)),
        ("b", (1, 13)),
        ("b", (2, 14)),
    ]
    assert mixture[3]["item"] == 1
    assert mixture.channels == 3


def test_shares_repeat_the_smaller_dataset():
    mixture = MixedDataset([Numbers("a", 5), Numbers("b", 30)], shares=[1, 2])
    items = [mixture[i, i] for i in range(len(mixture))]
    assert Counter(item["image_id"] for item in items) == {"a": 15, "b": 30}
    assert Counter(item["item"][0] for item in items if item["image_id"] == "a") == dict.fromkeys(range(5), 3)


def test_no_image_is_lost_to_the_rounding_of_its_share():
    """0.7 / (0.3 + 0.7) of an epoch of 6 / 0.7 images is 5.999999999999999."""
    mixture = MixedDataset([Numbers("a", 1), Numbers("b", 6)], shares=[0.3, 0.7])
    items = [mixture[i] for i in range(len(mixture))]
    assert {item["item"] for item in items if item["image_id"] == "b"} == set(range(6))


def test_bad_mixtures():
    with pytest.raises(ValueError, match=r"channels.*\[2, 3\]"):
        MixedDataset([Numbers("a", 2), Numbers("b", 3, channels=2)])
    with pytest.raises(ValueError, match="shares.* 2 positive"):
        MixedDataset([Numbers("a", 2), Numbers("b", 3)], shares=[1])
