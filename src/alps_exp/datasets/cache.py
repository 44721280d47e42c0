"""Decoded images that all worker processes share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch


class SharedCache:
    """Caches decoded images of a dataset in shared memory, as many of the first ones as fit.

    All worker processes started after its creation share it. Nothing is ever evicted: an epoch shows every image once
    in random order, so no other choice of images would do better.

    Parameters
    ----------
    num_bytes
        Maximum size; allocated at once if the dataset is that large.
    count
        Number of images in the dataset.
    shape
        Shape of a uint8 image.
    """

    def __init__(self, num_bytes: int, count: int, shape: Sequence[int]) -> None:
        kept = min(count, num_bytes // (math.prod(shape) + 1))
        self.pixels = torch.zeros(kept, *shape, dtype=torch.uint8).share_memory_()
        self.there = torch.zeros(kept, dtype=torch.bool).share_memory_()

    def get(self, index: int, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the image at an index; `decode` is called if it is not cached."""
        if index >= len(self.there):
            return decode()
        if not self.there[index]:
            # Two workers may write the same image at once, which is harmless: they write the same bytes.
            self.pixels[index].numpy()[:] = decode()  # NumPy copy: the decoded array may be read-only
            self.there[index] = True
        image: np.ndarray = self.pixels[index].numpy()
        return image
