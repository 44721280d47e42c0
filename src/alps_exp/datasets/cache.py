"""Decoded images that all worker processes share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch


class SharedCache:
    """Keeps the decoded first images of a dataset, as many as fit in a number of bytes, each from its first use on.

    It lies in shared memory, once for all the worker processes that are started after it. Nothing is ever evicted:
    since an epoch shows every image once, in random order, no choice of what to keep is better.

    Parameters
    ----------
    num_bytes
        Limit of its size; it takes all of it at once where the dataset is as large.
    count
        Number of images of the dataset.
    shape
        Shape of an image, uint8.
    """

    def __init__(self, num_bytes: int, count: int, shape: Sequence[int]) -> None:
        kept = min(count, num_bytes // (math.prod(shape) + 1))
        self.pixels = torch.zeros(kept, *shape, dtype=torch.uint8).share_memory_()
        self.there = torch.zeros(kept, dtype=torch.bool).share_memory_()

    def get(self, index: int, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the image of an index, which `decode` makes where it is not there."""
        if index >= len(self.there):
            return decode()
        if not self.there[index]:
            # Two workers may do this at once: they write the same.
            self.pixels[index].numpy()[:] = decode()  # which may be read-only, as of a picture
            self.there[index] = True
        return self.pixels[index].numpy()
