"""Moment-matching posterior sampling (MMPS)."""

from __future__ import annotations

from torch import Tensor

from alps_exp.checks import check_count, check_share
from alps_exp.estimates import PriorKind
from alps_exp.samplers.annealed import AnnealedSampler
from alps_exp.samplers.ddim import ddim_step
from alps_exp.samplers.moment_matching import matched_mean
from alps_exp.samplers.problem import Problem
from alps_exp.samplers.schedules import KarrasSchedule, Schedule


class MMPS(AnnealedSampler):
    """The MMPS sampler: DDIM guided by moment matching, x_0 | x_t ~ N(D, t^2 J), with J the Jacobian of D.

    A step costs one forward pass and one vector-Jacobian product per iteration; the authors' code spends one more.
    With more than one iteration samples may diverge if the Jacobian is not symmetric and positive.

    Parameters
    ----------
    schedule
        Scales in decreasing order.
    iterations
        Conjugate-gradient iterations per step (authors' code: 1).
    eta
        Fraction of fresh noise in DDIM: 1 is DDPM's ancestral sampler, 0 deterministic.
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If iterations < 1 or eta is not in [0, 1].

    References
    ----------
    Rozet, Andry, Lanusse, Louppe, "Learning diffusion priors from observations by expectation maximization", NeurIPS
    2024 (arXiv 2405.13712).
    """

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(80.0, 0.01, 100, 7.0),  # noqa: B008 - immutable
        iterations: int = 1,
        eta: float = 1.0,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.iterations, self.eta = check_count("iterations", iterations), check_share("eta", eta)

    def step(self, problem: Problem, x: Tensor, t: float, s: float) -> Tensor:
        """Return a DDIM step toward the posterior mean of x_0."""
        mean = matched_mean(problem, x, t, self.iterations)
        return ddim_step(x, mean, t, s, self.eta, problem.draw())
