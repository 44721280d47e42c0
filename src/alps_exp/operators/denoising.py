"""Denoising: every pixel is measured, with noise."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.operators.base import SpectralOperator


class Denoising(SpectralOperator):
    """The identity operator, ``y = x + eta * eps``.

    Parameters
    ----------
    noise_std
        Standard deviation ``eta > 0`` of the measurement noise.

    Raises
    ------
    ValueError
        If `noise_std` is not a positive finite number.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `y`."""
        return y

    def gain(self, x: Tensor) -> Tensor:
        """Return 1, in the precision of `x`."""
        return torch.ones((), dtype=x.dtype.to_real(), device=x.device)

    def to_spectrum(self, x: Tensor) -> Tensor:
        """Return `x`: the operator is diagonal in the pixels."""
        return x

    def from_spectrum(self, spectrum: Tensor, x: Tensor) -> Tensor:
        """Return `spectrum`: the operator is diagonal in the pixels."""
        return spectrum
