"""Moment-matching posterior sampling (MMPS)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.operators.cg import inner
from alps_exp.priors.base import PullBack
from alps_exp.samplers.ancestral import check_share, ddim_step
from alps_exp.samplers.base import InMicroBatches, PriorKind, Sampler
from alps_exp.samplers.noise import NoiseSource
from alps_exp.samplers.potential import wide
from alps_exp.samplers.schedules import Polynomial, Schedule, to_zero


class MMPS(Sampler):
    """Guides a DDIM sampler by the likelihood of y under p(x_0 | x_t) = N(D, t^2 J), J the Jacobian of the denoiser D.

    Tweedie's formula makes t^2 J the true covariance, so that for a Gaussian prior E[x_0 | x_t, y] = D + t^2 J^T A^H v,
    with (eta^2 I + t^2 A J^T A^H) v = y - A D, is exact. A fixed number of conjugate-gradient iterations solves for v.
    A step costs a forward pass and, for each iteration, a vector-Jacobian product: the products with the search
    directions also make up J^T A^H v, where the authors' code spends one more.

    The Jacobian of a network is neither quite symmetric nor positive. An image whose search direction p has
    p^H A J^T A^H p <= 0 keeps the v that it has; a covariance could not move it along p. More than one
    iteration can still lead such images astray.

    Parameters
    ----------
    schedule
        Scales, from large to small.
    iterations
        Conjugate-gradient iterations a step (authors' code: 1).
    eta
        Share of fresh noise in DDIM: 1 is DDPM's ancestral sampler, 0 deterministic.
    denoiser, micro_batch
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
        schedule: Schedule = Polynomial(80.0, 0.01, 100, 7.0),  # noqa: B008 - immutable
        iterations: int = 1,
        eta: float = 1.0,
        denoiser: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, denoiser, micro_batch)
        if iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {iterations}")
        self.iterations, self.eta = iterations, check_share("eta", eta)

    def sample(
        self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (S, B, C, H, W); there are no diagnostics."""
        image = operator.adjoint(y)
        steps = to_zero(self.schedule())
        x = steps[0][0] * noise.like(image)
        for t, s in self.progress(steps):
            d, moved = prior.denoise_with_pull_back(x, t, partial(self._correction, operator, y, t))
            x = ddim_step(x, d + moved, t, s, self.eta, noise.like(image))
        return x, {}

    def _correction(self, operator: LinearOperator, y: Tensor, t: float, d: Tensor, pull_back: PullBack) -> Tensor:
        """Return t^2 J^T A^H v after some iterations for v, from v = 0."""
        moved = torch.zeros_like(d)
        residual = direction = y - operator.forward(d)
        square = inner(residual, residual)
        going = torch.ones_like(square, dtype=torch.bool)
        for _ in range(self.iterations):
            along = t**2 * pull_back(operator.adjoint(direction))
            measured = operator.forward(along)
            spread = inner(direction, measured)
            going = going & (spread > 0)
            step = torch.where(going, square / (spread + operator.noise_std**2 * inner(direction, direction)), 0)
            moved = moved + wide(step) * along
            residual = residual - wide(step) * (measured + operator.noise_std**2 * direction)
            square, before = inner(residual, residual), square
            direction = residual + wide(torch.where(going, square / before, 0)) * direction
        return moved
