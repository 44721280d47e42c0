"""Least squares with a sparse transform: wavelets (compressed sensing) and total variation."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from tqdm import tqdm

from alps_exp.checks import positive
from alps_exp.operators import LinearOperator
from alps_exp.reconstruction.base import Reconstruction
from alps_exp.reconstruction.transforms import Differences, Transform, Wavelet


class SparseReconstruction(Reconstruction):
    """Least squares with a sparse transform, argmin 1/2 ||A x - y||^2 + lambda ||W x||_1, by a primal-dual iteration.

    The data term's proximal map is the operator's posterior mean, exact at every step; the absolute value of a complex
    number is its modulus.

    Parameters
    ----------
    weight
        lambda, in units of the image times those of A^H A.
    iterations
        Number of iterations, each with one solve.
    step
        Step size tau of the image; that of the dual variable is 1 / (tau ||W||^2).

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
        if iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {iterations}")
        self.iterations = iterations

    @abstractmethod
    def transform(self, x: Tensor) -> Transform:
        """Return W for images like x."""

    def reconstruct(self, operator: LinearOperator, y: Tensor) -> Tensor:
        """Return the last iterate, from A^H y."""
        x = ahead = operator.adjoint(y)
        W = self.transform(x)
        p = torch.zeros_like(W.forward(x))
        sigma, t = 1 / (self.step * W.square_norm), operator.noise_std * self.step**0.5
        for _ in tqdm(range(self.iterations), desc=type(self).__name__, disable=None, leave=False):
            p = _clip(p + sigma * W.forward(ahead), self.weight)
            before, x = x, operator.posterior_mean(x - self.step * W.adjoint(p), y, t)
            ahead = 2 * x - before
        return x


class L1Wavelet(SparseReconstruction):
    """Least squares with sparse wavelets: W x are Daubechies' wavelet coefficients (db4), all of them penalized.

    Parameters
    ----------
    weight, iterations, step
        As in `SparseReconstruction`.

    References
    ----------
    Lustig, Donoho, Pauly, "Sparse MRI", MRM 58, 2007; the problem of `sigpy.mri.app.L1WaveletRecon`.
    """

    def __init__(self, weight: float = 0.008, iterations: int = 100, step: float = 10.0) -> None:
        super().__init__(weight, iterations, step)

    def transform(self, x: Tensor) -> Transform:
        """Return the wavelet transform."""
        return Wavelet(x.shape)


class TotalVariation(SparseReconstruction):
    """Least squares with sparse differences: W x are those of neighboring pixels, around the borders, in both axes.

    Parameters
    ----------
    weight, iterations, step
        As in `SparseReconstruction`.

    References
    ----------
    Block, Uecker, Frahm, "Undersampled radial MRI with multiple coils", MRM 57, 2007; the problem of
    `sigpy.mri.app.TotalVariationRecon`.
    """

    def __init__(self, weight: float = 0.004, iterations: int = 100, step: float = 3.0) -> None:
        super().__init__(weight, iterations, step)

    def transform(self, x: Tensor) -> Transform:
        """Return the differences."""
        return Differences()


def _clip(p: Tensor, radius: float) -> Tensor:
    """Return p with every modulus at most `radius`."""
    return p * (radius / p.abs().clamp(min=radius))
