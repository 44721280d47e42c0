"""Center crops of images and of k-space."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Images = TypeVar("Images", np.ndarray, Tensor)


def middle(size: int, count: int) -> slice:
    """Return the slice of the central `count` of `size` pixels, half a pixel early if it cannot be centered."""
    start = (size - count) // 2
    return slice(start, start + count)


def around_zero_frequency(size: int, count: int) -> slice:
    """Return the slice of the `count` k-space samples around zero frequency, which is at index size // 2 of `size`."""
    # Differs from `middle` by one sample if size is even and count is odd.
    start = size // 2 - count // 2
    return slice(start, start + count)


def center_crop(images: Images, size: tuple[int, int]) -> Images:
    """Return the center crop (..., rows, columns) of images (..., H, W), with `size` = (rows, columns).

    Raises
    ------
    ValueError
        If the crop is empty or larger than the images.

    Examples
    --------
    >>> import torch
    >>> center_crop(torch.zeros(2, 1, 320, 368), (320, 320)).shape
    torch.Size([2, 1, 320, 320])
    """
    height, width = images.shape[-2:]
    if not (1 <= size[0] <= height and 1 <= size[1] <= width):
        raise ValueError(f"a crop of {size[0]} x {size[1]} does not fit an image of {height} x {width}")
    return images[..., middle(height, size[0]), middle(width, size[1])]
