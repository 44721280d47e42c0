"""Diffusion posterior sampling (DPS)."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.estimates import PriorKind
from alps_exp.operators import LinearOperator
from alps_exp.samplers.annealed import AnnealedSampler
from alps_exp.samplers.problem import Problem
from alps_exp.samplers.schedules import KarrasSchedule, Schedule


class DPS(AnnealedSampler):
    """The DPS sampler: ancestral diffusion sampling with gradient steps on the residual norm of the denoised image.

    Each step costs one forward pass and one vector-Jacobian product. The published step x_i <- x_i - zeta grad
    ||y - A D(x_i)|| is for variance-preserving x; in the variance-exploding form used here, zeta becomes
    zeta sqrt((1 + t^2)(1 + s^2)) for the step from scale t to s. The norm is taken per image and chain.

    Parameters
    ----------
    schedule
        Scales of the ancestral sampler; published: 1,000 steps of the DDPM schedule.
    step_size
        zeta (published: 0.3 to 1 for faces in [-1, 1]).
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If step_size is not positive.

    References
    ----------
    Chung, Kim, Mccann, Klasky, Ye, "Diffusion posterior sampling for general noisy inverse problems", ICLR 2023
    (arXiv 2209.14687), algorithm 1.
    """

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(80.0, 0.01, 1000, 7.0),  # noqa: B008 - immutable
        step_size: float = 1.0,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.step_size = positive("step_size", step_size)

    def step(self, problem: Problem, x: Tensor, t: float, s: float) -> Tensor:
        """Return an ancestral step, then the gradient step on the norm of the residual."""
        d, ascent = problem.prior.denoise_and_apply_vjp(x, t, partial(_residual_direction, problem.operator, problem.y))
        x = d + (s / t) ** 2 * (x - d)
        if s > 0:
            x = x + s * math.sqrt(1 - (s / t) ** 2) * problem.draw()
        return x + self.step_size * math.sqrt((1 + t**2) * (1 + s**2)) * ascent


def _residual_direction(operator: LinearOperator, y: Tensor, d: Tensor) -> Tensor:
    """Return A^H r / ||r|| for the residual r = y - A d of each image."""
    residual = y - operator.forward(d)
    norm = torch.linalg.vector_norm(residual, dim=(-3, -2, -1), keepdim=True)
    return operator.adjoint(residual / norm.clamp(min=torch.finfo(norm.dtype).tiny))
