"""Pseudoinverse-guided diffusion (PiGDM)."""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from alps_exp.checks import check_share, positive
from alps_exp.estimates import PriorKind
from alps_exp.operators import LinearOperator
from alps_exp.samplers.annealed import AnnealedSampler
from alps_exp.samplers.ddim import ddim_step
from alps_exp.samplers.problem import Problem
from alps_exp.samplers.schedules import KarrasSchedule, Schedule


class PiGDM(AnnealedSampler):
    """The PiGDM sampler: DDIM guided by the likelihood of y under p(x_0 | x_t) = N(D, r_t^2 I).

    The score of this likelihood is J^T g / r_t^2, with J the Jacobian of D and g = r_t^2 A^H (r_t^2 A A^H + eta^2
    I)^(-1) (y - A D). It is computed as (A^H A + eta^2 / r_t^2 I)^(-1) A^H (y - A D), which every operator can solve.
    Each step costs one forward pass and one vector-Jacobian product. The published step is for variance-preserving x;
    in the variance-exploding form used here it becomes x_s = DDIM(x_t, D) + J^T g.

    This "adaptive weight" adds the full correction at every step, regardless of the step's length, so the samples
    overfit the measurement noise and are too narrow. Without it the step follows the score, DDIM(x_t, D + t^2 / r_t^2
    J^T g), which is exact in the limit of fine schedules if p(x_0 | x_t) is N(D, r_t^2 I).

    Parameters
    ----------
    schedule
        Scales; published: 100 of the DDPM schedule's 1,000.
    eta
        Fraction of fresh noise in DDIM: 1 is DDPM's ancestral sampler, 0 deterministic.
    prior_std
        Standard deviation c of the images in r_t = c t / sqrt(c^2 + t^2) (published: 1).
    adaptive_weight
        Whether to add the correction as published; otherwise it enters as a score.
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If eta is not in [0, 1] or prior_std is not positive.

    References
    ----------
    Song, Vahdat, Mardani, Kautz, "Pseudoinverse-guided diffusion models for inverse problems", ICLR 2023, in
    its form for noisy data; the factor of J^T g follows the authors' code (NVlabs/RED-diff).
    """

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(80.0, 0.01, 100, 7.0),  # noqa: B008 - immutable
        eta: float = 1.0,
        prior_std: float = 1.0,
        adaptive_weight: bool = True,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.eta, self.prior_std = check_share("eta", eta), positive("prior_std", prior_std)
        self.adaptive_weight = adaptive_weight

    def step(self, problem: Problem, x: Tensor, t: float, s: float) -> Tensor:
        """Return a DDIM step guided by the score of the likelihood."""
        r = self.prior_std * t / math.hypot(self.prior_std, t)
        d, guidance = problem.prior.denoise_and_apply_vjp(x, t, partial(_correction, problem.operator, problem.y, r))
        if self.adaptive_weight:
            return ddim_step(x, d, t, s, self.eta, problem.draw()) + guidance
        return ddim_step(x, d + (t / r) ** 2 * guidance, t, s, self.eta, problem.draw())


def _correction(operator: LinearOperator, y: Tensor, r: float, d: Tensor) -> Tensor:
    """Return r^2 A^H (r^2 A A^H + eta^2 I)^(-1) (y - A d)."""
    return operator.solve(operator.adjoint(y - operator.forward(d)), r)
