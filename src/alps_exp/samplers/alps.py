"""Annealed Langevin posterior sampling (ALPS)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.samplers.base import InMicroBatches, PriorKind, Sampler
from alps_exp.samplers.noise import NoiseSource
from alps_exp.samplers.schedules import Geometric, Schedule, with_next

Noise = Literal["calibrated", "independent", "reference", "none"]
Annealing = Literal["static", "noised"]


class ALPS(Sampler):
    """Anneals the preconditioned Langevin step of ALPS; one denoiser call and one posterior solve a step.

    Parameters
    ----------
    schedule
        Noise scales t, one for each denoiser call.
    noise
        ``calibrated``: correlated between consecutive steps, which makes the spread of the chains right;
        ``independent``: new at every step; ``reference``: as published; ``none``: deterministic.
    annealing
        ``static``: the chain follows p_t(x | y) itself, whose measured part carries noise eta at every t (the
        paper's); ``noised``: it follows x_t = x_0 + t z with x_0 from the posterior, so that the prior always sees
        noise t everywhere.
    final_noise
        Whether the last step draws a sample; without, it returns its mean, a denoised image.
    denoiser, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        For an unknown noise or annealing, or reference noise with noised annealing.

    References
    ----------
    Chand & Jacob, "Annealed Langevin Posterior Sampling", arXiv 2601.02594 (2026): the static step.
    Leimkuhler & Matthews, "Rational construction of stochastic numerical methods for molecular sampling", AMRX
    2013: the correlated noise, here carried from scale to scale.
    """

    def __init__(
        self,
        schedule: Schedule = Geometric(),  # noqa: B008 - immutable
        noise: Noise = "calibrated",
        annealing: Annealing = "noised",
        final_noise: bool = True,
        denoiser: PriorKind = "energy",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, denoiser, micro_batch)
        if noise not in ("calibrated", "independent", "reference", "none"):
            raise ValueError(f"noise is {noise!r}, expected calibrated, independent, reference or none")
        if annealing not in ("static", "noised"):
            raise ValueError(f"annealing is {annealing!r}, expected static or noised")
        if noise == "reference" and annealing == "noised":
            raise ValueError("noise=reference is the published scheme, which anneals the static posterior")
        self.noise, self.annealing = noise, annealing
        self.final_noise = final_noise and noise != "none"

    def sample(
        self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (S, B, C, H, W); there are no diagnostics.

        Raises
        ------
        ValueError
            For a composed energy, unless the annealing is static and the noise not the reference's.
        """
        if prior.curvature != 1 and (self.annealing == "noised" or self.noise == "reference"):
            raise ValueError("a composed energy is sampled by annealing=static, with any noise but reference")
        if self.noise == "reference":
            return self._published(prior, operator, y, noise), {}
        walk = self._static if self.annealing == "static" else self._noised
        return walk(prior, operator, y, noise), {}

    def _static(self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, noise: NoiseSource) -> Tensor:
        image = operator.adjoint(y)
        measured, unmeasured = self._steps_of(noise, y), self._steps_of(noise, image)
        steps = with_next(self.schedule())
        start = torch.zeros_like(image).expand(noise.num_samples, *image.shape)
        narrower = prior.curvature**-0.5
        x = operator.posterior_sample(start, y, steps[0][0] * narrower, (measured.next(), unmeasured.next()))
        for t, s in self.progress(steps):
            d = prior.denoise(x, t)
            x = operator.posterior_sample(d, y, s * narrower, (measured.next(), unmeasured.next()))
        return x if self.final_noise else operator.posterior_mean(d, y, s * narrower)

    def _noised(self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, noise: NoiseSource) -> Tensor:
        image = operator.adjoint(y)
        added = self._steps_of(noise, image)
        steps = with_next(self.schedule())
        x = steps[0][0] * added.next()
        for t, s in self.progress(steps[:-1]):
            x = operator.posterior_mean(prior.denoise(x, t), y, t) + s * added.next()
        last = steps[-1][0]
        d = prior.denoise(x, last)
        if not self.final_noise:
            return operator.posterior_mean(d, y, last)
        return operator.posterior_sample(d, y, last, (noise.like(y), noise.like(image)))

    def _published(self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, noise: NoiseSource) -> Tensor:
        image = operator.adjoint(y)
        steps = with_next(self.schedule())
        first = steps[0][0]
        x = operator.posterior_mean(torch.zeros_like(image), y, first)
        x = x + operator.posterior_noise(noise.like(image), first)
        for t, s in self.progress(steps[:-1]):
            mean = operator.posterior_mean(prior.denoise(x, t), y, t)
            x = mean + operator.posterior_noise(noise.like(image), s)
        last = steps[-1][0]
        return operator.posterior_mean(prior.denoise(x, last), y, last)

    def _steps_of(self, noise: NoiseSource, like: Tensor) -> _StepNoise:
        return _StepNoise(noise, like, self.noise)


class _StepNoise:
    """The standard normal noise of consecutive steps, correlated by one half where it is calibrated."""

    def __init__(self, noise: NoiseSource, like: Tensor, kind: Noise) -> None:
        self.noise, self.image, self.kind = noise, like, kind
        self.last = noise.like(like) if kind == "calibrated" else None

    def next(self) -> Tensor:
        if self.kind == "none":
            return torch.zeros_like(self.image).expand(self.noise.num_samples, *self.image.shape)
        draw = self.noise.like(self.image)
        if self.last is None:
            return draw
        last, self.last = self.last, draw
        return (last + draw) / math.sqrt(2)
