"""Plug-and-play restoration by a diffusion denoiser (DiffPIR)."""

from __future__ import annotations

import math

from torch import Tensor

from alps_exp.checks import check_share, positive
from alps_exp.estimates import PriorKind
from alps_exp.samplers.annealed import AnnealedSampler
from alps_exp.samplers.problem import Problem
from alps_exp.samplers.schedules import KarrasSchedule, Schedule


class DiffPIR(AnnealedSampler):
    """The DiffPIR sampler: a proximal data-consistency step on each denoised image, then noise of the next scale.

    With rho = lambda eta^2 / t^2 the proximal step argmin ||A x - y||^2 + rho ||x - D||^2 is the mean of the posterior
    under the prior N(D, t^2 / lambda I). The noise at the next scale combines the predicted noise with fresh noise:
    x_s = x0 + s (sqrt(1 - zeta) (x_t - x0) / t + sqrt(zeta) e).

    Departures from the public code: the proximal step is exact for every operator and is also applied at the last
    scale, D is not clipped, and the scales are variance exploding.

    Parameters
    ----------
    schedule
        Scales; published: 100 of the DDPM schedule's 1,000, quadratically spaced.
    weight
        lambda (published: about 1 to 25, by task).
    zeta
        Fraction of fresh noise (published: 0.1 for deblurring, 1 for inpainting).
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If weight is not positive or zeta is not in [0, 1].

    References
    ----------
    Zhu, Zhang, Liang, Cao, Wen, Timofte, Van Gool, "Denoising diffusion models for plug-and-play image restoration",
    CVPR Workshops 2023 (arXiv 2305.08995), algorithm 1.
    """

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(80.0, 0.01, 100, 7.0),  # noqa: B008 - immutable
        weight: float = 1.0,
        zeta: float = 0.3,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.weight, self.zeta = positive("weight", weight), check_share("zeta", zeta)

    def step(self, problem: Problem, x: Tensor, t: float, s: float) -> Tensor:
        """Return x_0 of the proximal step, with its predicted and with fresh noise of scale s."""
        x0 = problem.operator.posterior_mean(problem.prior.denoise(x, t), problem.y, t / math.sqrt(self.weight))
        predicted = (x - x0) / t
        return x0 + s * (math.sqrt(1 - self.zeta) * predicted + math.sqrt(self.zeta) * problem.draw())
