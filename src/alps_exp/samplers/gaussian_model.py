"""The matched Gaussian model of an image given a noisy one, before and after its measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from alps_exp.priors.base import VJP
from alps_exp.samplers.problem import Problem

LEAST_PRECISION = 0.05
"""Least eigenvalue of I - J at the first scale; less says that the scale is far too small for a Gaussian start."""


@dataclass
class GaussianModel:
    """What chains x with noise u say of the image x_0 at the last scale: it is taken to be N(D', V).

    Images are vectors of n real numbers in float64; real and imaginary part of a complex pixel are two of them.

    Attributes
    ----------
    x
        The chains, (S, B, n).
    mean, covariance
        D' (S, B, n) and V (S, B, n, n).
    posterior_mean, posterior_covariance
        Those of x_0 given x and the measurement y: N(m, C).
    log_twist
        log p(y | x), (S, B).
    """

    x: Tensor
    mean: Tensor
    covariance: Tensor
    posterior_mean: Tensor
    posterior_covariance: Tensor
    log_twist: Tensor

    def select(self, sample: Tensor) -> GaussianModel:
        """Return the model of the chains with these indices (S, B) among those of the same image."""
        image = torch.arange(sample.shape[1], device=sample.device)
        return GaussianModel(*(getattr(self, field.name)[sample, image] for field in fields(self)))

    def step(self, u: float, s: float, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return chains x' (S, B, n) with noise s < u given y, and log p(x' | x) - log p(x' | x, y) (S, B).

        With h = 1 - s^2 / u^2 (1 for infinite u), x' is drawn from N((1 - h) x + h m, h^2 C + h s^2 I) by means of the
        standard normal z (S, B, n). Without y it would be drawn from N((1 - h) x + h D', h^2 V + h s^2 I).
        """
        h = 1 - (s / u) ** 2
        fresh = h * s**2 * torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
        informed = torch.linalg.cholesky(h**2 * self.posterior_covariance + fresh)
        free = torch.linalg.cholesky(h**2 * self.covariance + fresh)
        moved = (1 - h) * self.x + h * self.posterior_mean + _times(informed, z)
        deviation = moved - (1 - h) * self.x - h * self.mean
        whitened = torch.linalg.solve_triangular(free, deviation[..., None], upper=False)[..., 0]
        squares = z.square().sum(-1) - whitened.square().sum(-1)
        return moved, squares / 2 + _half_log_determinant(informed) - _half_log_determinant(free)


class Matching:
    """Makes the Gaussian models of the chains of a problem, by the denoiser and its Jacobian.

    Parameters
    ----------
    problem
        Denoiser D and measurement y = A x + eta n.
    last_scale
        The noise scale t_end of x_0.
    denoiser_error
        eps, the relative error of D that V is to cover.
    """

    def __init__(self, problem: Problem, last_scale: float, denoiser_error: float) -> None:
        self.prior, self.operator, self.like = problem.prior, problem.operator, problem.adjoint
        self.y = problem.y.to(torch.promote_types(problem.y.dtype, torch.float64))
        self.last_scale, self.cover = last_scale, 4 * denoiser_error**2
        self.size = as_numbers(self.like[:1]).shape[-1]
        units = torch.eye(self.size, dtype=torch.float64, device=self.like.device)
        self.identity, self.basis = units, self._images(units)
        products = self.operator.normal(self.basis[:, None].expand(-1, *self.like.shape))
        self.precision = as_numbers(products).movedim(0, 1) / self.operator.noise_std**2

    def start(self, t: float, count: int) -> GaussianModel:
        """Return the model of `count` chains that know nothing of the image yet, made at a large scale t.

        Mean and covariance of the image follow from D and J at x = 0 by Tweedie's formula, exactly if the prior is
        Gaussian: (I - J)^-1 D, and t_end^2 I + t^2 J (I - J)^-1.
        """
        zeros = torch.zeros(1, 1, self.size, dtype=torch.float64, device=self.like.device)
        denoised, jacobian = self._denoise(zeros, t)
        values, axes = torch.linalg.eigh(jacobian)
        ratios = values.clamp(0, 1 - LEAST_PRECISION)
        mean = _times(axes, _times(axes.mT, denoised) / (1 - ratios))
        variances = self.last_scale**2 + t**2 * ratios / (1 - ratios)
        images = len(self.y)
        model = self._measured(
            zeros.expand(-1, images, -1),
            mean.expand(-1, images, -1),
            ((axes * variances[..., None, :]) @ axes.mT).expand(-1, images, -1, -1),
        )
        return model.select(torch.zeros(count, images, dtype=torch.long, device=self.like.device))

    def __call__(self, x: Tensor, u: float) -> GaussianModel:
        """Return the model of chains x (S, B, n) with noise u on top of x_0.

        D' = x + (u / t)^2 (D(x, t) - x) with t^2 = u^2 + t_end^2, and V = u^2 (J' + 4 eps^2 I) with its Jacobian J'.
        """
        t = math.hypot(u, self.last_scale)
        share = (u / t) ** 2
        denoised, jacobian = self._denoise(x, t)
        # An exact J has no eigenvalue below 0, and V none below u^2 (1 - share): half of that is enough for rounding.
        jacobian = raised(jacobian, 0.0, (share - 1) / (2 * share))
        covariance = u**2 * (share * jacobian + (1 - share + self.cover) * self.identity)
        return self._measured(x, x + share * (denoised - x), covariance)

    def _measured(self, x: Tensor, mean: Tensor, covariance: Tensor) -> GaussianModel:
        """Return the model N(D', V) with what the measurement adds.

        With V = R R^T the covariance given y is R (I + R^T A^H A R / eta^2)^-1 R^T.
        """
        root = torch.linalg.cholesky(covariance)
        factor = torch.linalg.cholesky(self.identity + root.mT @ self.precision @ root)
        half = torch.linalg.solve_triangular(factor, root.mT, upper=False)
        posterior_covariance = half.mT @ half
        images = self._images(mean)
        pull = as_numbers(self.operator.adjoint(self.y - self.operator.forward(images))) / self.operator.noise_std**2
        shift = _times(posterior_covariance, pull)
        log_twist = (pull * shift).sum(-1) / 2 - _half_log_determinant(factor)
        log_twist = log_twist - self.operator.misfit(images, self.y) - self.operator.log_normalizer(self.y)
        return GaussianModel(x, mean, covariance, mean + shift, posterior_covariance, log_twist)

    def images(self, numbers: Tensor) -> Tensor:
        """Return vectors (..., n) as images (..., C, H, W) of the problem's dtype."""
        return self._images(numbers).to(self.like.dtype)

    def _denoise(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Return D (S, B, n) and its Jacobian, made symmetric, (S, B, n, n)."""
        basis = self.basis.to(self.like.dtype)

        def rows(d: Tensor, vjp: VJP) -> Tensor:
            return torch.stack([as_numbers(vjp(unit.expand_as(d))) for unit in basis], dim=-2)

        d, jacobian = self.prior.denoise_with_vjp(self.images(x), t, rows)
        if not (d.isfinite().all() and jacobian.isfinite().all()):
            raise FloatingPointError(f"the denoised image or its Jacobian is not finite at scale {t:.3g}")
        return as_numbers(d), (jacobian + jacobian.mT) / 2

    def _images(self, numbers: Tensor) -> Tensor:
        shape = self.like.shape[1:]
        if self.like.is_complex():
            return torch.view_as_complex(numbers.reshape(*numbers.shape[:-1], *shape, 2))
        return numbers.reshape(*numbers.shape[:-1], *shape)


def as_numbers(x: Tensor) -> Tensor:
    """Return images (..., C, H, W) as vectors of n real numbers (..., n) in float64."""
    return (torch.view_as_real(x).flatten(-4) if x.is_complex() else x.flatten(-3)).double()


def raised(matrices: Tensor, least: float, below: float) -> Tensor:
    """Return symmetric matrices (..., n, n); of one with an eigenvalue under `below`, all are raised to `least`.

    A network's Jacobian is no covariance: made symmetric, it has negative eigenvalues too.
    """
    shift = below * torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    wrong = torch.linalg.cholesky_ex(matrices - shift).info > 0
    if not wrong.any():
        return matrices
    values, axes = torch.linalg.eigh(matrices[wrong])
    return matrices.index_put((wrong,), (axes * values.clamp(min=least)[..., None, :]) @ axes.mT)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    product: Tensor = (matrices @ vectors[..., None])[..., 0]
    return product


def _half_log_determinant(factor: Tensor) -> Tensor:
    """Return 1/2 log det(L L^T) of Cholesky factors L (..., n, n)."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
