"""Sparsity-regularized least squares: l1 wavelets (compressed sensing) and total variation."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from alps_exp.checks import check_count, positive
from alps_exp.operators import LinearOperator
from alps_exp.reconstruction.base import Reconstruction
from alps_exp.reconstruction.transforms import Differences, Transform, Wavelet


class SparseReconstruction(Reconstruction):
    """Sparsity-regularized least squares: argmin 1/2 ||A x - y||^2 + lambda ||W x||_1, by a primal-dual iteration.

    The proximal map of the data term is the operator's posterior mean, so it is solved at every step instead of being
    approximated by a gradient step. For complex images the l1 norm sums moduli.

    Parameters
    ----------
    weight
        lambda, in units of A^H A times image units.
    iterations
        Number of iterations, each with one solve.
    step
        Primal step size tau; the dual step size is 1 / (tau ||W||^2).

    Raises
    ------
    ValueError
        If weight or step is not positive, or iterations < 1.

    References
    ----------
    Chambolle, Pock, "A first-order primal-dual algorithm for convex problems with applications to imaging", J. Math.
    Imaging Vis. 40, 2011, algorithm 1.
    """

    def __init__(self, weight: float, iterations: int, step: float) -> None:
        self.weight, self.step = positive("weight", weight), positive("step", step)
        self.iterations = check_count("iterations", iterations)

    @abstractmethod
    def transform(self, x: Tensor) -> Transform:
        """Return the transform W for images like x."""

    def reconstruct(self, operator: LinearOperator, y: Tensor) -> Tensor:
        """Return the last iterate, starting from A^H y."""
        x = extrapolated = operator.adjoint(y)
        W = self.transform(x)
        p = torch.zeros_like(W.forward(x))
        # posterior_mean at this t is the proximal map of tau / 2 ||A x - y||^2, since eta^2 / t^2 = 1 / tau.
        sigma, t = 1 / (self.step * W.square_norm), operator.noise_std * self.step**0.5
        for _ in range(self.iterations):
            p = _clip(p + sigma * W.forward(extrapolated), self.weight)
            last_x, x = x, operator.posterior_mean(x - self.step * W.adjoint(p), y, t)
            extrapolated = 2 * x - last_x
        return x


class L1Wavelet(SparseReconstruction):
    """L1-wavelet reconstruction: W x are Daubechies wavelet coefficients (db4), all of which are penalized.

    Parameters
    ----------
    weight, iterations, step
        As in `SparseReconstruction`.

    References
    ----------
    Lustig, Donoho, Pauly, "Sparse MRI", MRM 58, 2007. The same problem as in `sigpy.mri.app.L1WaveletRecon`.
    """

    def __init__(self, weight: float = 0.008, iterations: int = 100, step: float = 10.0) -> None:
        super().__init__(weight, iterations, step)

    def transform(self, x: Tensor) -> Transform:
        """Return the wavelet transform."""
        return Wavelet(x.shape)


class TotalVariation(SparseReconstruction):
    """Total-variation reconstruction: W x are periodic differences of neighboring pixels along both axes.

    The norm is anisotropic: the differences along the two axes are penalized separately.

    Parameters
    ----------
    weight, iterations, step
        As in `SparseReconstruction`.

    References
    ----------
    Block, Uecker, Frahm, "Undersampled radial MRI with multiple coils", MRM 57, 2007. The same
    problem as in `sigpy.mri.app.TotalVariationRecon`.
    """

    def __init__(self, weight: float = 0.004, iterations: int = 100, step: float = 3.0) -> None:
        super().__init__(weight, iterations, step)

    def transform(self, x: Tensor) -> Transform:
        """Return the difference operator."""
        return Differences()


def _clip(p: Tensor, radius: float) -> Tensor:
    """Project every entry of p onto the disc of radius `radius`."""
    return p * (radius / p.abs().clamp(min=radius))
