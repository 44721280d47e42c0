"""Decoupled annealing posterior sampling (DAPS)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from alps_exp.checks import check_count, positive
from alps_exp.estimates import PriorKind
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import KarrasSchedule, Schedule, with_next

ODE_SIGMA_MIN, ODE_RHO = 0.01, 7.0
LAST_STEP = 0.01  # Langevin step size at the end of the schedule, as a fraction of the first


class DAPS(Sampler):
    """The DAPS sampler: alternates a probability-flow ODE to a clean image, a posterior draw around it and fresh noise.

    The draw is from p(y | x) N(x; x_ODE, t^2 I), with the published width r_t = t. It is either exact, since A is
    linear, or made by the published Langevin steps x + h score + sqrt(2 h) e, which start from the ODE's result x_ODE;
    h decreases linearly over the scales from `step_size` toward 1 % of it. The published steps are too short to reach
    that width at large t, so unmeasured components stay close to x_ODE.

    Parameters
    ----------
    schedule
        Annealing scales; published: sigma_max 100, sigma_min 0.1, rho 7, 200 scales.
    ode_steps
        Euler steps, and denoiser calls, of each ODE (published: 5), on EDM's rho = 7 scales from t to 0.01.
    langevin_steps
        Langevin steps per draw (published: 100); 0: exact draws.
    step_size
        h at the first scale; stable for h (||A||^2 / likelihood_std^2 + 1 / t^2) < 2.
    likelihood_std
        Noise standard deviation that the Langevin steps assume (published: 0.01, for data with 0.05). None: the actual
        one, required for joint measurements.
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If ode_steps < 1, langevin_steps < 0, or step_size or likelihood_std is not positive; during sampling, if
        likelihood_std is set for a `JointOperator`, whose measurements have different noise levels.

    References
    ----------
    Zhang, Chu, Berner, Meng, Anandkumar, Song, "Improving diffusion inverse problem solving with decoupled noise
    annealing", CVPR 2025 (arXiv 2407.01521), algorithm 1.
    """

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(100.0, 0.1, 200, 7.0),  # noqa: B008 - immutable
        ode_steps: int = 5,
        langevin_steps: int = 100,
        step_size: float = 1e-4,
        likelihood_std: float | None = 0.01,
        *,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        if langevin_steps < 0:
            raise ValueError(f"langevin_steps must be at least 0, got {langevin_steps}")
        self.ode_steps, self.langevin_steps = check_count("ode_steps", ode_steps), langevin_steps
        self.step_size = positive("step_size", step_size)
        self.likelihood_std = None if likelihood_std is None else positive("likelihood_std", likelihood_std)

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the draw from the posterior around the ODE's result at every scale; there are no diagnostics."""
        if self.langevin_steps and self.likelihood_std is not None and isinstance(problem.operator.noise_stds, list):
            raise ValueError("DAPS on a joint measurement needs likelihood_std null, or langevin_steps 0")
        steps = with_next(self.schedule())
        x = steps[0][0] * problem.draw()
        for k, (t, s) in enumerate(steps):
            clean = self._flow(problem.prior, x, t)
            if self.langevin_steps:
                step = self.step_size * (1 - (1 - LAST_STEP) * k / len(steps))
                sample = self._langevin(problem, clean, t, step)
            else:
                noise = problem.reduced.draw_measurement(), problem.draw()
                sample = problem.reduced.operator.posterior_sample(clean, problem.reduced.y, t, noise)
            x = sample + s * problem.draw()
            yield problem.state(sample, t)

    def _flow(self, prior: BatchedPrior, x: Tensor, t: float) -> Tensor:
        """Integrate the ODE dx / d sigma = (x - D(x, sigma)) / sigma from sigma = t to 0 by Euler steps."""
        if self.ode_steps == 1 or t <= ODE_SIGMA_MIN:
            return prior.denoise(x, t)
        scales = KarrasSchedule(t, ODE_SIGMA_MIN, self.ode_steps, ODE_RHO)()
        for sigma, below in zip(scales, [*scales[1:], 0.0], strict=True):
            d = prior.denoise(x, sigma)
            x = d + below / sigma * (x - d)
        return x

    def _langevin(self, problem: Problem, clean: Tensor, t: float, step: float) -> Tensor:
        """Run Langevin dynamics on p(y | x) N(x; clean, t^2 I), starting at `clean`."""
        operator, x = problem.operator, clean
        tau = operator.noise_std if self.likelihood_std is None else self.likelihood_std
        if operator.has_spectrum:
            return self._all_steps(problem, clean, t, step, tau)
        for _ in range(self.langevin_steps):
            score = (problem.adjoint - operator.normal(x)) / tau**2 + (clean - x) / t**2
            x = x + step * score + math.sqrt(2 * step) * problem.draw()
        return x

    def _all_steps(self, problem: Problem, clean: Tensor, t: float, step: float, tau: float) -> Tensor:
        """Return a draw with the law of all Langevin steps together.

        The target is Gaussian: along an eigenvector of A^H A, of eigenvalue l, each step multiplies the distance from
        its mean by a = 1 - h q, with q = l / tau^2 + 1 / t^2, and adds noise of variance 2 h. After n steps the start
        has moved by (1 - a^n) / q times the score, and the noise has variance 2 h (1 - a^(2n)) / (1 - a^2).
        """
        operator, n = problem.reduced.operator, self.langevin_steps

        def precision(gain: Tensor) -> Tensor:  # in double precision: a^n is close to 1 where nothing is measured
            return gain.double() / tau**2 + 1 / t**2

        def moved(gain: Tensor) -> Tensor:
            q = precision(gain)
            return ((1 - (1 - step * q) ** n) / q).to(gain.dtype)

        def spread(gain: Tensor) -> Tensor:
            a = 1 - step * precision(gain)
            return (2 * step * (1 - a ** (2 * n)) / (1 - a**2)).sqrt().to(gain.dtype)

        score = (problem.adjoint - operator.normal(clean)) / tau**2
        return clean + operator.spectral_filter(score, moved) + operator.spectral_filter(problem.draw(), spread)
