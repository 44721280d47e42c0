"""Unadjusted Langevin dynamics (ULA) at every scale of the static posterior."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.estimates import PriorKind
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import KarrasSchedule, Schedule


class ULA(Sampler):
    """Stepped, preconditioned ULA: Langevin steps on the static posterior p_t(x | y), while t is lowered in steps.

    A step is x - (h / 2) P grad U_t(x) + sqrt(h) P^(1/2) z with P the covariance of the ALPS step; it costs one solve,
    as an ALPS step does. On a Gaussian posterior of covariance S its stationary covariance is
    S (I - (h / 4) P S^(-1))^(-1), up to 1 / (1 - h / 4) times too large, and never too small. With h = 2 it is the ALPS
    step with independent noise of sqrt(2) times the amplitude.

    Departure from textbook ULA: the preconditioner, without which h must be below 4 eta^2 / ||A||^2, and chains need
    (t / eta)^2 times as many steps.

    Parameters
    ----------
    schedule
        Scales t; as many steps at each as it is repeated.
    step_size
        h, below 4.
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If step_size is not in (0, 4).

    References
    ----------
    Roberts & Tweedie, "Exponential convergence of Langevin distributions and their discrete approximations", Bernoulli
    2, 1996: ULA. Song & Ermon, NeurIPS 2019 (arXiv 1907.05600), algorithm 1: from scale to scale.
    """

    composable = True

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(5.0, 0.03, 20, 7.0, 5),  # noqa: B008 - immutable
        step_size: float = 1.0,
        prior_kind: PriorKind = "energy",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.step_size = positive("step_size", step_size)
        if step_size >= 4:
            raise ValueError(f"step_size must be below 4, where the chains diverge, got {step_size}")

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the chains after every step; there are no diagnostics."""
        operator, y, h = problem.reduced.operator, problem.reduced.y, self.step_size
        narrower = problem.prior.curvature**-0.5

        def draw(d: Tensor, t: float, amplitude: float) -> Tensor:
            noise = amplitude * problem.noise.draw(y), amplitude * problem.draw()
            return operator.posterior_sample(d, y, t * narrower, noise)

        scales = self.schedule()
        empty = torch.zeros_like(problem.adjoint).expand(problem.noise.num_samples, *problem.adjoint.shape)
        x = draw(empty, scales[0], 1.0)
        for t in scales:
            # P (A^H y / eta^2 + c d / t^2) is x - P grad U, so both terms of the step come from one perturbed solve.
            x = x + h / 2 * (draw(problem.prior.denoise(x, t), t, 2 * h**-0.5) - x)
            yield problem.state(x, t)
