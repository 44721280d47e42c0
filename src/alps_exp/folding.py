"""Images larger than the field of view, which fold into it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


class Folding:
    """Splits images (..., H', W') into parts (..., parts, H, W) that lie on top of each other in the field of view.

    Pixel (i, j) of an image, counted from its center, falls on pixel (i mod H, j mod W) of the field of view, counted
    from its center: sampling k-space at H x W points cannot tell them apart. Parts are zero where the image ends.

    Parameters
    ----------
    image_shape
        (H', W') of the images, at least the field of view.
    fov_shape
        (H, W) of the field of view.

    Raises
    ------
    ValueError
        If an image is smaller than the field of view.
    """

    def __init__(self, image_shape: Sequence[int], fov_shape: Sequence[int]) -> None:
        if any(size < fov for size, fov in zip(image_shape, fov_shape, strict=True)):
            raise ValueError(f"images of {_size(image_shape)} pixels are smaller than k-space of {_size(fov_shape)}")
        self.image_shape, self.fov_shape = tuple(image_shape), tuple(fov_shape)
        self.copies = [-(-size // fov) for size, fov in zip(image_shape, fov_shape, strict=True)]
        self.shifts = [size // 2 - fov // 2 for size, fov in zip(image_shape, fov_shape, strict=True)]

    def split(self, x: Tensor) -> Tensor:
        """Return the parts (..., parts, H, W) of images (..., H', W')."""
        (rows, columns), (height, width) = self.copies, self.fov_shape
        beyond = (0, columns * width - x.shape[-1], 0, rows * height - x.shape[-2])
        whole = torch.roll(pad(x, beyond), [-shift for shift in self.shifts], dims=(-2, -1))
        parts: Tensor = whole.unflatten(-2, (rows, height)).unflatten(-1, (columns, width))
        return parts.movedim(-2, -3).flatten(-4, -3)

    def merge(self, parts: Tensor) -> Tensor:
        """Return the images (..., H', W') of parts (..., parts, H, W): the inverse of `split`, and its adjoint."""
        blocks: Tensor = parts.unflatten(-3, self.copies)
        whole = blocks.movedim(-3, -2).flatten(-2).flatten(-3, -2)
        height, width = self.image_shape
        return torch.roll(whole, self.shifts, dims=(-2, -1))[..., :height, :width]


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
