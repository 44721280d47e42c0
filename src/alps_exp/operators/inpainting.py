"""Inpainting: only some of the pixels are measured."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.operators.base import SpectralOperator, check_fits


def binary_mask(mask: Tensor) -> Tensor:
    """Return a 4-D mask of 0 and 1 as a boolean tensor.

    Raises
    ------
    ValueError
        If `mask` is not 4-D or contains other values.
    """
    if mask.ndim != 4:
        raise ValueError(
            f"mask must have 4 dimensions (batch or 1, channels or 1, H, W), got shape {tuple(mask.shape)}"
        )
    measured = mask != 0
    if not torch.equal(mask, measured.to(mask.dtype)):
        raise ValueError("mask must hold only 0 and 1, got other values")
    return measured


class Inpainting(SpectralOperator):
    """Pixelwise masking, ``y = mask * x``, with zeros in `y` where nothing is measured.

    Parameters
    ----------
    mask
        1 where a pixel is measured and 0 elsewhere, shape (B or 1, C or 1, H, W), any dtype.
    noise_std
        Standard deviation ``eta > 0`` of the measurement noise.

    Raises
    ------
    ValueError
        If `mask` is not 4-D or not binary, or `noise_std` is not positive; in use, if `mask` does not fit an image.

    Examples
    --------
    >>> import torch
    >>> mask = (torch.rand(2, 1, 64, 64) < 0.2).float()
    >>> operator = Inpainting(mask, noise_std=0.05)
    >>> truth = torch.rand(2, 3, 64, 64) * 2 - 1
    >>> y = operator.measure(truth, torch.randn_like(truth))
    >>> bool((y[mask.expand_as(y) == 0] == 0).all())
    True
    """

    def __init__(self, mask: Tensor, noise_std: float) -> None:
        super().__init__(noise_std)
        self.mask = binary_mask(mask)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``mask * x``."""
        return self._restrict(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``mask * y``."""
        return self._restrict(y)

    def gain(self, x: Tensor) -> Tensor:
        """Return the mask in the precision of `x`."""
        return self.mask.to(x.dtype.to_real())

    def to_spectrum(self, x: Tensor) -> Tensor:
        """Return `x`: the operator is diagonal in the pixels."""
        return x

    def from_spectrum(self, spectrum: Tensor, x: Tensor) -> Tensor:
        """Return `spectrum`: the operator is diagonal in the pixels."""
        return spectrum

    def _restrict(self, y: Tensor) -> Tensor:
        check_fits("mask", self.mask.shape, y.shape)
        return torch.where(self.mask, y, 0)
