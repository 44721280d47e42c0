"""The Gaussian prior, with closed-form energies, posteriors and MAP estimates."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.priors.mixture import GaussianMixturePrior


class GaussianPrior(GaussianMixturePrior):
    """N(m, C) as a multi-scale energy: E(x, t) / t^2 = 1/2 (x - m)^H (C + t^2 I)^(-1) (x - m).

    It equals E = 1/2 ||x - psi||^2 with psi(x, t) = x - t (C + t^2 I)^(-1/2) (x - m), and is implemented as a mixture
    of one component. For complex images, the real and the imaginary part each have covariance C.

    Parameters
    ----------
    mean
        m, (C, H, W), real or complex.
    covariance
        C, symmetric (Hermitian) and positive semi-definite, (n, n) with n = C * H * W, of the dtype of the mean.

    Raises
    ------
    ValueError
        If the shapes do not match or C has a negative eigenvalue.
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
