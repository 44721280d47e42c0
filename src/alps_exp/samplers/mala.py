"""The Metropolis-adjusted Langevin algorithm (MALA) at every scale of the static posterior."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby

import torch
from torch import Tensor

from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.potential import Point, Potential
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import KarrasSchedule, Schedule

TARGET_ACCEPTANCE = 0.574


class MALA(Sampler):
    """Stepped, preconditioned MALA: the steps of ULA as proposals that a Metropolis test accepts or rejects.

    Proposal, x' = x - (h / 2) P grad U_t(x) + sqrt(h) P^(1/2) z, and acceptance use the same P, that of the scale. At
    every scale p_t(x | y) is therefore exactly invariant, whatever h; only the number of moves limits how well it is
    reached, and separate modes keep the chains that annealing brought there. For a chain, h is adapted from scale to
    scale, never at one.

    Diagnostics for each chain, by different scales in their order: ``acceptance``, the mean probability of acceptance,
    and ``step_size``, h; (S, B, scales).

    Parameters
    ----------
    schedule
        Scales t; as many moves at each as it is repeated.
    micro_batch
        As in `Sampler`.

    References
    ----------
    Roberts & Tweedie, Bernoulli 2, 1996: MALA. Roberts & Rosenthal, J. R. Stat. Soc. B 60, 1998: acceptance 0.574, h
    like n^(-1/3) in n dimensions.
    """

    takes_pairs = False  # moves are accepted by chance
    composable = True

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(5.0, 0.03, 20, 7.0, 5),  # noqa: B008 - immutable
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, "energy", micro_batch)

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the chains after every move; the last state has the diagnostics.

        Raises
        ------
        FloatingPointError
            If the potential of a proposal is not finite.
        """
        scales, steps = self.schedule(), 0
        accepted: list[Tensor] = []
        sizes: list[Tensor] = []
        potential = self._potential(problem, scales[0])
        noise = problem.draw_measurement(), problem.draw()
        x = problem.operator.posterior_sample(torch.zeros_like(noise[1]), problem.y, potential.width, noise)
        log_step = torch.full(x.shape[:2], -math.log(x[0, 0].numel()) / 3, dtype=x.real.dtype, device=x.device)
        for t, moves in groupby(scales):
            potential = self._potential(problem, t)
            point, probabilities = potential(x), []
            for _ in moves:
                point, probability = _move(problem, potential, point, log_step.exp())
                probabilities.append(probability)
                acceptance, steps = torch.stack(probabilities).mean(0), steps + 1
                if steps < len(scales):
                    yield problem.state(point.x, t, acceptance.mean(0))
            accepted.append(acceptance)
            sizes.append(log_step.exp())
            x, log_step = point.x, log_step + acceptance - TARGET_ACCEPTANCE
        diagnostics = {"acceptance": torch.stack(accepted, dim=-1), "step_size": torch.stack(sizes, dim=-1)}
        if not diagnostics["acceptance"].isfinite().all():
            raise FloatingPointError("the potential of a Metropolis proposal is not finite")
        yield problem.state(x, scales[-1], acceptance.mean(0), diagnostics)

    @staticmethod
    def _potential(problem: Problem, t: float) -> Potential:
        return Potential(problem.prior, problem.operator, problem.y, t)


def _move(problem: Problem, potential: Potential, point: Point, h: Tensor) -> tuple[Point, Tensor]:
    """Return the points after a move with step sizes h (S, B), and its probability of acceptance."""
    noise = potential.color((problem.draw_measurement(), problem.draw()))
    x = point.x - over_pixels(h) / 2 * point.preconditioned + over_pixels(h.sqrt()) * noise
    proposal = potential(x)
    log_ratio = point.value - proposal.value - h / 8 * (proposal.square - point.square)
    log_ratio = log_ratio + inner_product(x - point.x, proposal.gradient + point.gradient) / 2
    accepted = torch.special.log_ndtr(problem.draw_number()) < log_ratio
    return proposal.where(accepted, point), log_ratio.clamp(max=0).exp()
