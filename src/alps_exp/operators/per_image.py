"""Per-image scalars: inner products, and broadcasting over pixels."""

from __future__ import annotations

from torch import Tensor


def over_pixels(per_image: Tensor) -> Tensor:
    """Reshape per-image scalars (...) to (..., 1, 1, 1), so that they broadcast over channels and pixels."""
    return per_image[..., None, None, None]


def inner_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the real part of ``a^H b`` for each image, of shape a.shape[:-3]."""
    # Not vecdot, which autocast would run in lower precision.
    return (a.conj() * b).real.sum(dim=(-3, -2, -1))
