"""Denoising diffusion null-space model for noisy data (DDNM+)."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.estimates import PriorKind
from alps_exp.operators import LinearOperator
from alps_exp.randomness import NoiseSource
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.schedules import KarrasSchedule, Schedule, to_zero


class DDNM(Sampler):
    """Replaces what the data determine in each denoised image by the pseudo-inverse, as far as their noise allows.

    The ancestral step from t to s has mean a x0 + (1 - a) x_t, a = 1 - s^2 / t^2, and standard deviation w = s sqrt(a).
    The image x0 = D + Sigma A^+ (y - A D) brings the data's noise, a lambda eta / sigma_i along a singular vector of
    value sigma_i with lambda on the diagonal of Sigma. So lambda = min(1, w sigma_i / (a eta)), and the step adds what
    is missing from the variance w^2.

    It takes the data's noise for part of the noise of x_t, and so understates the uncertainty of what is measured.

    It works for operators whose eigenvectors are known, and needs no products with the Jacobian. Departures from the
    paper: the scales are variance exploding, and time is never traveled back.

    Parameters
    ----------
    schedule
        Scales; published: 100 of the DDPM schedule's 1,000.
    threshold
        Singular values up to this count as zero (in the authors' code for blur: 0.03, of 1 at most).
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If threshold is not positive; later, for an operator whose eigenvectors are not known.

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

    def sample(
        self, prior: BatchedPrior, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (S, B, C, H, W); there are no diagnostics."""
        image, x = self.begin(operator, y, noise)
        for t, s in self.progress(to_zero(self.schedule())):
            a = 1 - (s / t) ** 2
            data_noise = math.sqrt(a) * operator.noise_std
            d = prior.denoise(x, t)
            residual = operator.adjoint(y - operator.forward(d))
            x0 = d + operator.spectral_filter(residual, partial(self._correction, s, data_noise))
            fresh = operator.spectral_filter(noise.draw(image), partial(self._fresh_noise, s, data_noise))
            x = a * x0 + (1 - a) * x + s * math.sqrt(a) * fresh
        return x, {}

    def _correction(self, s: float, data_noise: float, gain: Tensor) -> Tensor:
        """Return lambda / sigma_i^2, with `data_noise` sqrt(a) eta."""
        allowed = s * gain.rsqrt() / data_noise
        return torch.where(gain > self.threshold**2, torch.minimum(1 / gain, allowed), 0)

    def _fresh_noise(self, s: float, data_noise: float, gain: Tensor) -> Tensor:
        """Return the standard deviation of the noise that the step adds, as a share of w."""
        brought = (data_noise * gain.rsqrt() / s).clamp(max=1)
        return (1 - torch.where(gain > self.threshold**2, brought, 0) ** 2).sqrt()
