"""Sparsifying linear transforms."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from alps_exp.packages import require


class Transform(ABC):
    """A linear transform W of images with its adjoint; `square_norm` is an upper bound of ||W||^2."""

    square_norm: float

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return W x."""

    @abstractmethod
    def adjoint(self, p: Tensor) -> Tensor:
        """Return W^H p."""


class Wavelet(Transform):
    """sigpy's orthonormal wavelet transform (db4, zero padding) for images of one shape; computed on the CPU."""

    square_norm = 1.0

    def __init__(self, shape: torch.Size) -> None:
        self._shape = shape
        height, width = shape[-2:]
        linop = require("sigpy.linop", "the wavelet transform", "sigpy")
        self._linop = linop.Wavelet((shape[:-2].numel(), height, width), axes=(-2, -1), wave_name="db4")

    def forward(self, x: Tensor) -> Tensor:
        """Return the coefficients (N, H', W') of the N channels of x."""
        coefficients = self._linop(x.reshape(-1, *x.shape[-2:]).cpu().numpy())
        return torch.from_numpy(coefficients).to(x.device, x.dtype)

    def adjoint(self, p: Tensor) -> Tensor:
        """Return the images with these coefficients under W^H."""
        return torch.from_numpy(self._linop.H(p.cpu().numpy())).to(p.device, p.dtype).reshape(self._shape)


class Differences(Transform):
    """Periodic backward differences along both image axes, stacked in a new leading dimension."""

    square_norm = 8.0

    def forward(self, x: Tensor) -> Tensor:
        """Return the differences (2, ..., H, W)."""
        return torch.stack([x - x.roll(1, axis) for axis in (-2, -1)])

    def adjoint(self, p: Tensor) -> Tensor:
        """Return the sum over both axes of the periodic forward differences, negated: the adjoint."""
        return sum((q - q.roll(-1, axis) for q, axis in zip(p, (-2, -1), strict=True)), torch.zeros_like(p[0]))
