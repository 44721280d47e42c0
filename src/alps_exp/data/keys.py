"""Random generators that depend on a key alone, so that results do not depend on batches, ranks or order."""

from __future__ import annotations

import hashlib

import numpy as np

Item = int | tuple[int, int]


def numpy_generator(seed: int, image_id: str) -> np.random.Generator:
    """Return the generator that belongs to an image: a pure function of seed and image id."""
    digest = hashlib.sha256(f"{seed}/{image_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def split_item(item: Item) -> tuple[int, int | None]:
    """Split what a sampler asks for into index and augmentation key (None where it gave a plain index)."""
    if isinstance(item, tuple):
        return item
    return item, None


def item_generator(key: int | None) -> np.random.Generator:
    """Return the generator of a training item, or raise a ValueError where it came without a key."""
    if key is None:
        raise ValueError("training items need (index, key) from a StepKeyedBatchSampler, got an index alone")
    return np.random.default_rng(key)
