"""Compressed sensing with a generative model: annealed Langevin dynamics (CSGM)."""

from __future__ import annotations

import math

from torch import Tensor

from alps_exp.checks import positive
from alps_exp.estimates import PriorKind
from alps_exp.samplers.annealed import AnnealedSampler
from alps_exp.samplers.problem import Problem
from alps_exp.samplers.schedules import GeometricSchedule, Schedule


class CSGM(AnnealedSampler):
    """The CSGM sampler: annealed, unadjusted Langevin dynamics on the noised prior and a widened likelihood.

    A step at scale t is x + h ((D(x) - x) / t^2 + A^H (y - A x) / (eta^2 + t^2)) + sqrt(2 h) e with h = step_size t^2:
    the published epsilon t^2 / t_L^2 if step_size = epsilon / t_L^2, where t_L is the last scale. It is stable for
    step_size (1 + ||A||^2) < 2. The result still contains the noise of the last scale.

    Departure from the public code, which rescales the likelihood term to a multiple of the prior term's norm: the
    likelihood has the weight given in the paper.

    Parameters
    ----------
    schedule
        Scales, one step at each; published: 2,311 geometric scales with three steps at each.
    step_size
        h / t^2.
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If step_size is not positive.

    References
    ----------
    Jalal, Arvinte, Daras, Price, Dimakis, Tamir, "Robust compressed sensing MRI with deep generative priors", NeurIPS
    2021 (arXiv 2108.01368). Song, Ermon, "Generative modeling by estimating gradients of the data
    distribution", NeurIPS 2019, algorithm 1: the step sizes.
    """

    draws_last = True

    def __init__(
        self,
        schedule: Schedule = GeometricSchedule(80.0, 0.01, 2311),  # noqa: B008 - immutable
        step_size: float = 0.1,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.step_size = positive("step_size", step_size)

    def step(self, problem: Problem, x: Tensor, t: float, s: float) -> Tensor:
        """Return the chains after one step of Langevin dynamics at scale t."""
        operator, y = problem.operator, problem.y
        score = (problem.prior.denoise(x, t) - x) / t**2
        score = score + operator.adjoint(y - operator.forward(x)) / (operator.noise_std**2 + t**2)
        h = self.step_size * t**2
        return x + h * score + math.sqrt(2 * h) * problem.draw()
