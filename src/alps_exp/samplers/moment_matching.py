"""Moment matching: the posterior mean of x_0 with Tweedie's covariance."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.operators.cg import Rough
from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.priors.base import VJP
from alps_exp.samplers.problem import Problem


def matched_mean(
    problem: Problem,
    x: Tensor,
    t: float,
    iterations: int,
    *,
    preconditioned: bool = False,
    rough: Rough | None = None,
) -> Tensor:
    """Return the mean of x_0 given x_t = x and y for x_0 | x_t ~ N(D, t^2 J), with J the Jacobian of D(x_t, t).

    By Tweedie's formula t^2 J is the covariance of x_0 | x_t, so for a Gaussian prior the mean D + t^2 J^T A^H v, with
    (eta^2 I + t^2 A J^T A^H) v = y - A D, is exact. A fixed number of conjugate-gradient iterations solves for v. Each
    costs one vector-Jacobian product, since the products with the search directions also add up to J^T A^H v.

    The Jacobian of a network is only approximately symmetric and positive semi-definite. The iteration stops for an
    image if p^H A J^T A^H p <= 0 for its search direction p, along which a covariance has nothing to move, or if the
    residual has reached rounding level.

    Parameters
    ----------
    problem
        The denoiser D, and A, eta and y.
    x
        Images (S, B, C, H, W).
    t
        Their noise scale.
    iterations
        Conjugate-gradient iterations.
    preconditioned
        Whether to precondition with the solution for J = I, which costs one solve of the operator per iteration. A
        single iteration then already accounts for the spectrum of A, like an ALPS step.
    rough
        How exact these solves are, as in `LinearOperator.posterior_mean`.

    References
    ----------
    Rozet, Andry, Lanusse, Louppe, "Learning diffusion priors from observations by expectation maximization", NeurIPS
    2024 (arXiv 2405.13712).
    """
    solve = partial(
        correction,
        problem.operator,
        problem.y,
        t,
        iterations=iterations,
        preconditioned=preconditioned,
        rough=rough,
    )
    d, update = problem.prior.denoise_with_vjp(x, t, solve)
    return d + update


def correction(
    operator: LinearOperator,
    y: Tensor,
    t: float,
    d: Tensor,
    vjp: VJP,
    *,
    iterations: int,
    preconditioned: bool,
    rough: Rough | None = None,
) -> Tensor:
    """Return t^2 J^T A^H v after `iterations` steps from v = 0: the update that `matched_mean` adds to d = D(x, t)."""
    update = torch.zeros_like(d)
    residual = last_residual = y - operator.forward(d)
    # A residual this small is rounding error. The next direction, made conjugate to the earlier ones, can then have
    # almost no length, and continuing would amplify the rounding.
    rounding = (10 * torch.finfo(residual.dtype).eps) ** 2 * inner_product(residual, residual)
    last_square, active = rounding, torch.ones_like(rounding, dtype=torch.bool)
    direction: Tensor | None = None
    for left in reversed(range(iterations)):
        preconditioned_residual = operator.solve_measured(residual, t, rough) if preconditioned else residual
        square = inner_product(residual, preconditioned_residual)
        if direction is None:
            direction = preconditioned_residual
        else:
            # Polak-Ribiere form, because a preconditioner applied by conjugate gradients is slightly nonlinear.
            change = inner_product(preconditioned_residual, residual - last_residual)
            direction = preconditioned_residual + over_pixels(torch.where(active, change / last_square, 0)) * direction
        image_direction = t**2 * vjp(operator.adjoint(direction))
        measured = operator.forward(image_direction)
        curvature = inner_product(direction, measured)
        active = active & (curvature > 0) & (square > 0) & (inner_product(residual, residual) > rounding)
        step = torch.where(
            active, square / (curvature + operator.noise_std**2 * inner_product(direction, direction)), 0
        )
        update = update + over_pixels(step) * image_direction
        if left:
            last_residual, last_square = residual, square
            residual = residual - over_pixels(step) * (measured + operator.noise_std**2 * direction)
    return update
