"""Denoising diffusion null-space model for noisy data (DDNM+)."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.estimates import PriorKind
from alps_exp.samplers.annealed import AnnealedSampler
from alps_exp.samplers.problem import Problem
from alps_exp.samplers.schedules import KarrasSchedule, Schedule


class DDNM(AnnealedSampler):
    """The DDNM+ sampler: corrects the range-space part of each denoised image by the pseudo-inverse.

    The ancestral step from t to s has mean a x0 + (1 - a) x_t, a = 1 - s^2 / t^2, and standard deviation w = s sqrt(a).
    The corrected image x0 = D + Sigma A^+ (y - A D) propagates measurement noise: a lambda eta / sigma_i along the
    singular vector of singular value sigma_i, where lambda is the diagonal entry of Sigma. Hence lambda = min(1, w
    sigma_i / (a eta)), and the step adds only the noise still missing from the variance w^2.

    The method counts measurement noise as part of the noise of x_t, so it understates the uncertainty of measured
    components.

    It requires an operator with known eigenvectors, and no vector-Jacobian products. Departures from the paper: the
    scales are variance exploding, and there is no time travel.

    Parameters
    ----------
    schedule
        Scales; published: 100 of the DDPM schedule's 1,000.
    threshold
        Singular values up to this are treated as zero (authors' code for blur: 0.03, with a largest value of 1).
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If threshold is not positive; during sampling, if the eigenvectors of the operator are not known.

    References
    ----------
    Wang, Yu, Zhang, "Zero-shot image restoration using denoising diffusion null-space model", ICLR 2023 (arXiv
    2212.00490): DDNM+, by the singular value decomposition.
    """

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(80.0, 0.01, 100, 7.0),  # noqa: B008 - immutable
        threshold: float = 0.03,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.threshold = positive("threshold", threshold)

    def step(self, problem: Problem, x: Tensor, t: float, s: float) -> Tensor:
        """Return the DDIM step whose estimate of x_0 is corrected in the range of A^H."""
        operator = problem.operator
        a = 1 - (s / t) ** 2
        data_noise = math.sqrt(a) * operator.noise_std
        d = problem.prior.denoise(x, t)
        residual = operator.adjoint(problem.y - operator.forward(d))
        x0 = d + operator.spectral_filter(residual, partial(self._correction, s, data_noise))
        fresh = operator.spectral_filter(problem.draw(), partial(self._fresh_noise, s, data_noise))
        return a * x0 + (1 - a) * x + s * math.sqrt(a) * fresh

    def _correction(self, s: float, data_noise: float, gain: Tensor) -> Tensor:
        """Return lambda / sigma_i^2, with `data_noise` = sqrt(a) eta and `gain` = sigma_i^2."""
        allowed = s * gain.rsqrt() / data_noise
        # Zero gains give inf here, which the threshold discards.
        return torch.where(gain > self.threshold**2, torch.minimum(1 / gain, allowed), 0)

    def _fresh_noise(self, s: float, data_noise: float, gain: Tensor) -> Tensor:
        """Return the standard deviation of the added noise as a fraction of w."""
        propagated = (data_noise * gain.rsqrt() / s).clamp(max=1)
        return (1 - torch.where(gain > self.threshold**2, propagated, 0) ** 2).sqrt()
