"""Annealed Langevin posterior sampling (ALPS)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from alps_exp.estimates import PriorKind
from alps_exp.operators.cg import Rough
from alps_exp.randomness import NoiseSource
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.moment_matching import matched_mean
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import GeometricSchedule, Schedule, with_next

Noise = Literal["calibrated", "independent", "reference", "none"]
Annealing = Literal["static", "diffused"]

# How far the last conjugate-gradient steps may move a mean of diffused annealing, relative to the noise t that is added
# to it. 0.1 is good without moment matching, 0.3 is not.
MEAN_TOLERANCE = 0.03


class ALPS(Sampler):
    """The ALPS sampler: annealed, preconditioned Langevin steps, each with one denoiser call and one posterior solve.

    Parameters
    ----------
    schedule
        Noise scales t, one for each denoiser call.
    noise
        Noise of consecutive steps: calibrated, independent, reference or none. ``calibrated``: correlated, so that the
        chains have the correct spread; ``independent``: fresh noise at every step; ``reference``: as published;
        ``none``: deterministic.
    annealing
        What the chain follows: static or diffused. ``static``: p_t(x | y) itself, as in the paper; measured components
        carry noise of about eta at every t. ``diffused``: x_0 + noise, with x_0 from the posterior and noise in every
        component, as the prior was trained on; the noise level is t, or slightly more if calibrated (see
        `calibrated_amplitudes`).
    final_noise
        Whether the last step draws a sample; otherwise it returns the mean, a denoised image.
    moment_matching
        Only with diffused annealing: number of conjugate-gradient iterations per step (the last step excepted) that
        use Tweedie's covariance t^2 J of x_0 given x_t; 0 uses t^2 I. An iteration costs one vector-Jacobian product
        with the teacher and two with the energy.
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If noise or annealing is unknown, or reference noise is combined with diffused annealing, or moment matching
        with static annealing.

    References
    ----------
    Chand & Jacob, "Annealed Langevin Posterior Sampling", arXiv 2601.02594 (2026): the static step.
    Leimkuhler & Matthews, "Rational construction of stochastic numerical methods for molecular sampling", AMRX
    2013: the correlated noise, here carried from scale to scale.
    Rozet et al., NeurIPS 2024 (arXiv 2405.13712): moment matching.

    Examples
    --------
    >>> import torch
    >>> from alps_exp.operators import Inpainting
    >>> from alps_exp.priors import smooth_gaussian
    >>> prior = smooth_gaussian(size=16)  # or load_energy("faces64")
    >>> operator = Inpainting(torch.ones(2, 1, 16, 16), noise_std=0.05)
    >>> estimates = ALPS()(prior, operator, torch.zeros(2, 1, 16, 16), num_samples=4, seed=0)
    >>> estimates.samples.shape, estimates.mean.shape
    (torch.Size([4, 2, 1, 16, 16]), torch.Size([2, 1, 16, 16]))
    """

    composable = True

    def __init__(
        self,
        schedule: Schedule = GeometricSchedule(),  # noqa: B008 - immutable
        noise: Noise = "calibrated",
        annealing: Annealing = "diffused",
        final_noise: bool = True,
        moment_matching: int = 0,
        *,
        prior_kind: PriorKind = "energy",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        if noise not in ("calibrated", "independent", "reference", "none"):
            raise ValueError(f"noise is {noise!r}, expected calibrated, independent, reference or none")
        if annealing not in ("static", "diffused"):
            raise ValueError(f"annealing is {annealing!r}, expected static or diffused")
        if noise == "reference" and annealing == "diffused":
            raise ValueError("noise=reference is the published scheme, which anneals the static posterior")
        if moment_matching < 0 or (moment_matching and annealing == "static"):
            raise ValueError(
                f"moment_matching is {moment_matching} with annealing={annealing}, expected 0, or more with diffused"
            )
        self.noise, self.annealing, self.moment_matching = noise, annealing, moment_matching
        self.final_noise = final_noise and noise != "none"

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the state of the chains after every step; there are no diagnostics.

        Raises
        ------
        ValueError
            If the prior is a composed energy and the annealing is not static or the noise is ``reference``.
        """
        simple = math.isclose(problem.prior.curvature, 1)
        if not simple and (self.annealing == "diffused" or self.noise == "reference"):
            raise ValueError("a composed energy is sampled by annealing=static, with any noise but reference")
        if self.noise == "reference":
            return self._published(problem)
        return self._static(problem) if self.annealing == "static" else self._diffused(problem)

    def _static(self, problem: Problem) -> Iterator[State]:
        prior, operator, y = problem.prior, problem.reduced.operator, problem.reduced.y
        measured, unmeasured = self._steps_of(problem, y), self._steps_of(problem, problem.adjoint)
        steps = with_next(self.schedule())
        start = torch.zeros_like(problem.adjoint).expand(problem.noise.num_samples, *problem.adjoint.shape)
        # Composed energies have curvature c / t^2 at large t, so P must use the width t / sqrt(c). With t itself the
        # step diverges for c > 2.
        narrower = prior.curvature**-0.5
        x = operator.posterior_sample(start, y, steps[0][0] * narrower, (measured.next(), unmeasured.next()))
        for t, s in steps[:-1]:
            d = prior.denoise(x, t)
            # Solve and noise use the next scale s: the noise left in x is then what the next denoiser call assumes.
            x = operator.posterior_sample(d, y, s * narrower, (measured.next(), unmeasured.next()))
            yield problem.state(x, t)
        last = steps[-1][0]
        d = prior.denoise(x, last)
        x = mean = operator.posterior_mean(d, y, last * narrower)
        if self.final_noise:
            x = operator.posterior_sample(d, y, last * narrower, (measured.next(), unmeasured.next()))
        yield problem.state(x, last, noiseless=mean)

    def _diffused(self, problem: Problem) -> Iterator[State]:
        reduced, added = problem.reduced, self._steps_of(problem, problem.adjoint)
        scales = self.schedule()
        amplitudes = calibrated_amplitudes(scales) if self.noise == "calibrated" else scales
        x, update = amplitudes[0] * added.next(), None
        for t, amplitude in zip(scales[:-1], amplitudes[1:], strict=True):
            mean, update = self._mean(reduced, x, t, update)
            x = mean + amplitude * added.next()
            yield problem.state(x, t)
        last = scales[-1]
        d = problem.prior.denoise(x, last)
        x = mean = reduced.operator.posterior_mean(d, reduced.y, last)
        if self.final_noise:
            # This draw has covariance P, unlike the isotropic noise of the steps above, so its noise is fresh.
            noise = reduced.draw_measurement(), problem.draw()
            x = reduced.operator.posterior_sample(d, reduced.y, last, noise)
        yield problem.state(x, last, noiseless=mean)

    def _mean(self, problem: Problem, x: Tensor, t: float, last: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the mean of x_0 and its distance from the denoised image; `last` is the distance one step ago."""
        # The correction that the data ask for is much the same at the next scale: what a step left undone, the next do.
        rough = Rough(MEAN_TOLERANCE * t, last)
        if self.moment_matching:
            return matched_mean(problem, x, t, self.moment_matching, preconditioned=True, rough=rough), None
        d = problem.prior.denoise(x, t)
        mean = problem.operator.posterior_mean(d, problem.y, t, rough)
        return mean, mean - d

    def _published(self, problem: Problem) -> Iterator[State]:
        # As in the public code: the noise after the last inner step of a scale has the next scale, and the last step
        # adds none.
        prior, operator, y = problem.prior, problem.operator, problem.y
        steps = with_next(self.schedule())
        first, last = steps[0][0], steps[-1][0]
        x = operator.posterior_mean(torch.zeros_like(problem.adjoint), y, first)
        x = x + operator.posterior_noise(problem.draw(), first)
        for t, s in steps[:-1]:
            mean = operator.posterior_mean(prior.denoise(x, t), y, t)
            x = mean + operator.posterior_noise(problem.draw(), s)
            yield problem.state(x, t)
        x = operator.posterior_mean(prior.denoise(x, last), y, last)
        yield problem.state(x, last, noiseless=x)

    def _steps_of(self, problem: Problem, like: Tensor) -> _StepNoise:
        return _StepNoise(problem.noise, like, self.noise)


class _StepNoise:
    """The standard normal noise of consecutive steps; if calibrated, neighbors have correlation 1/2."""

    def __init__(self, noise: NoiseSource, like: Tensor, kind: Noise) -> None:
        self.noise, self.image, self.kind = noise, like, kind
        self.last = noise.draw(like) if kind == "calibrated" else None

    def next(self) -> Tensor:
        if self.kind == "none":
            return torch.zeros_like(self.image).expand(self.noise.num_samples, *self.image.shape)
        draw = self.noise.draw(self.image)
        if self.last is None:
            return draw
        last, self.last = self.last, draw
        return (last + draw) / math.sqrt(2)


def calibrated_amplitudes(scales: Sequence[float]) -> list[float]:
    """Return the noise levels sigma_k, one per scale t_k, that diffused annealing adds when its noise is calibrated.

    With sigma_k = t_k the chains become too narrow while t decreases. For an unmeasured Gaussian component of variance
    c, a step with noise correlation 1/2 maps the variance c + sigma_k^2 to a^2 (c + sigma_k^2) + a sigma_k sigma_{k+1}
    + sigma_{k+1}^2, with a = c / (c + t_k^2). Up to higher-order terms in t_k^2 / c this equals c + sigma_{k+1}^2 if
    sigma_k^2 + sigma_k sigma_{k+1} = 2 t_k^2. The recursion is solved backwards from sigma_n = t_n at the last scale.
    """
    amplitudes = [scales[-1]]
    for t in reversed(scales[:-1]):
        below = amplitudes[-1]
        amplitudes.append((math.sqrt(below**2 + 8 * t**2) - below) / 2)
    return amplitudes[::-1]
