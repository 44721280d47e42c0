"""The middle of images and of k-space."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Images = TypeVar("Images", np.ndarray, Tensor)


def middle(size: int, count: int) -> slice:
    """Return the middle `count` of the `size` pixels of an axis; half a pixel up where they cannot be in the middle."""
    start = (size - count) // 2
    return slice(start, start + count)


def around_zero_frequency(size: int, count: int) -> slice:
    """Return `count` of the `size` samples of an axis of k-space, around zero frequency, which sits at size // 2."""
    start = size // 2 - count // 2
    return slice(start, start + count)


def center_crop(images: Images, size: tuple[int, int]) -> Images:
    """Return the middle (..., rows, columns) of images (..., H, W).

    Raises
    ------
    ValueError
        If the images are smaller, or there is nothing in the middle.
    """
    height, width = images.shape[-2:]
    if not (1 <= size[0] <= height and 1 <= size[1] <= width):
        raise ValueError(f"a crop of {size[0]} x {size[1]} does not fit an image of {height} x {width}")
    return images[..., middle(height, size[0]), middle(width, size[1])]
