"""The Gaussian prior, whose energies, posteriors and MAP estimates are known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alps_exp.priors.base import EnergyPrior, Scale


class GaussianPrior(EnergyPrior):
    """N(m, C) as a multi-scale energy: E(x, t) / t^2 = 1/2 (x - m)^H (C + t^2 I)^(-1) (x - m).

    This is E = 1/2 ||x - psi||^2 for psi(x, t) = x - t (C + t^2 I)^(-1/2) (x - m). A complex image has covariance C
    in its real and in its imaginary part.

    Parameters
    ----------
    mean
        m, (C, H, W), real or complex.
    covariance
        C, symmetric (Hermitian) and positive semi-definite, (n, n) with n = C * H * W, of the dtype of the mean.

    Raises
    ------
    ValueError
        If the shapes do not fit or C has a negative eigenvalue.
    """

    mean: Tensor
    values: Tensor
    vectors: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        if covariance.shape != (mean.numel(), mean.numel()):
            raise ValueError(f"covariance has shape {tuple(covariance.shape)}, expected a square of {mean.numel()}")
        values, vectors = torch.linalg.eigh(covariance)
        if values[0] < -1e-6 * values[-1]:
            raise ValueError(f"covariance has the negative eigenvalue {float(values[0]):.3g}")
        self.register_buffer("mean", mean)
        self.register_buffer("values", values.clamp(min=0))
        self.register_buffer("vectors", vectors)

    def energy_and_gradient(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        """Return E of each image, shape x.shape[:-3], and grad E = t^2 (C + t^2 I)^(-1) (x - m)."""
        self.calls.vjp += x.shape[:-3].numel()
        coefficients, shrinkage = self._spectrum(x, t)
        energy = (shrinkage * coefficients.abs().square()).sum(-1) / 2
        gradient = (shrinkage * coefficients) @ self.vectors.mT
        return energy, gradient.reshape(x.shape)

    def energy(self, x: Tensor, t: Scale) -> Tensor:
        """Return E of each image, shape x.shape[:-3]."""
        coefficients, shrinkage = self._spectrum(x, t)
        return (shrinkage * coefficients.abs().square()).sum(-1) / 2

    def denoise_and_pull_back(
        self, x: Tensor, t: Scale, cotangent: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return d = x - grad E and J v, v = cotangent(d), where J = C (C + t^2 I)^(-1)."""
        d = self.denoise(x, t)
        v = cotangent(d)
        return d, self.denoise(v + self.mean, t) - self.mean

    def _spectrum(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        self.calls.forward += x.shape[:-3].numel()
        square = torch.as_tensor(t, dtype=self.values.dtype, device=x.device).square()[..., None]
        return (x - self.mean).flatten(-3) @ self.vectors.conj(), square / (self.values + square)
