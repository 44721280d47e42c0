"""Numbers for each image of a batch: inner products, and their way back over the pixels."""

from __future__ import annotations

from torch import Tensor


def over_pixels(per_image: Tensor) -> Tensor:
    """Return a number for each image in the shape (..., 1, 1, 1)."""
    return per_image[..., None, None, None]


def inner_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the real part of ``a^H b`` of each image, of shape a.shape[:-3]; autocast would lower a `vecdot`."""
    return (a.conj() * b).real.sum(dim=(-3, -2, -1))


def _product(a: Tensor, b: Tensor) -> Tensor:
    return inner_product(a, b)[..., None, None, None]
