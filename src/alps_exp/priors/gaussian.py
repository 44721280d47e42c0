"""The Gaussian prior, whose energies, posteriors and MAP estimates are known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.priors.mixture import GaussianMixturePrior


class GaussianPrior(GaussianMixturePrior):
    """N(m, C) as a multi-scale energy: E(x, t) / t^2 = 1/2 (x - m)^H (C + t^2 I)^(-1) (x - m).

    This is E = 1/2 ||x - psi||^2 for psi(x, t) = x - t (C + t^2 I)^(-1/2) (x - m), and the mixture of one component. A
    complex image has covariance C in its real and in its imaginary part.

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

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        if covariance.shape != (mean.numel(), mean.numel()):
            raise ValueError(f"covariance has shape {tuple(covariance.shape)}, expected a square of {mean.numel()}")
        super().__init__(torch.ones(1, device=mean.device), mean[None], covariance[None])

    @property
    def values(self) -> Tensor:
        """Eigenvalues of C, (n,)."""
        return self.variances[0]

    @property
    def vectors(self) -> Tensor:
        """Eigenvectors of C, (n, n)."""
        return self.axes[0]
