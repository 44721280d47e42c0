"""Moment matching: the posterior mean of x_0 under Tweedie's covariance."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.priors.base import VJP
from alps_exp.samplers.batched_prior import BatchedPrior


def matched_mean(
    prior: BatchedPrior,
    operator: LinearOperator,
    y: Tensor,
    x: Tensor,
    t: float,
    iterations: int,
    preconditioned: bool = False,
) -> Tensor:
    """Return the mean of x_0 given x_t = x and y, where x_0 given x_t is N(D, t^2 J), J the Jacobian of D(x_t, t).

    Tweedie's formula makes t^2 J the true covariance, so that for a Gaussian prior the mean D + t^2 J^T A^H v, with
    (eta^2 I + t^2 A J^T A^H) v = y - A D, is exact. A fixed number of conjugate-gradient iterations solves for v, each
    by one vector-Jacobian product: the products with the search directions also make up J^T A^H v.

    The Jacobian of a network is neither quite symmetric nor positive. An image whose search direction p has
    p^H A J^T A^H p <= 0 keeps the v that it has; a covariance could not move it along p. So does one that is solved.

    Parameters
    ----------
    prior
        The denoiser D.
    operator, y
        A, eta and the measurement.
    x
        Images (S, B, C, H, W).
    t
        Their noise scale.
    iterations
        Conjugate-gradient iterations.
    preconditioned
        Whether each is preconditioned by the solution for J = I, one solve of the operator; then a single one already
        follows the spectrum of A, as a step of ALPS does. Where the operator is solved by conjugate gradients to a
        tolerance, the preconditioner is rough at large t.

    References
    ----------
    Rozet, Andry, Lanusse, Louppe, "Learning diffusion priors from observations by expectation maximization", NeurIPS
    2024 (arXiv 2405.13712).
    """
    d, moved = prior.denoise_with_vjp(x, t, partial(correction, operator, y, t, iterations, preconditioned))
    return d + moved


def correction(
    operator: LinearOperator,
    y: Tensor,
    t: float,
    iterations: int,
    preconditioned: bool,
    d: Tensor,
    vjp: VJP,
) -> Tensor:
    """Return t^2 J^T A^H v after some iterations for v, from v = 0: what `matched_mean` adds to d = D(x, t)."""
    moved = torch.zeros_like(d)
    residual = previous = y - operator.forward(d)
    direction = torch.zeros_like(residual)
    # A residual this small is rounding, whose next direction, conjugate to all before, may have no length: it grows.
    rounding = (10 * torch.finfo(residual.dtype).eps) ** 2 * inner_product(residual, residual)
    before = torch.ones_like(rounding)
    going = torch.ones_like(before, dtype=torch.bool)
    for _ in range(iterations):
        better = _precondition(operator, residual, t) if preconditioned else residual
        square = inner_product(residual, better)
        # By Polak and Ribiere: the preconditioner of an operator that conjugate gradients solve is not quite linear.
        share = torch.where(going, inner_product(better, residual - previous) / before, 0)
        direction = better + over_pixels(share) * direction
        along = t**2 * vjp(operator.adjoint(direction))
        measured = operator.forward(along)
        spread = inner_product(direction, measured)
        going = going & (spread > 0) & (square > 0) & (inner_product(residual, residual) > rounding)
        step = torch.where(going, square / (spread + operator.noise_std**2 * inner_product(direction, direction)), 0)
        moved = moved + over_pixels(step) * along
        previous, before = residual, square
        residual = residual - over_pixels(step) * (measured + operator.noise_std**2 * direction)
    return moved


def _precondition(operator: LinearOperator, residual: Tensor, t: float) -> Tensor:
    """Return (I + t^2 / eta^2 A A^H)^(-1) of a residual, in float64, since what is measured cancels to eta^2 / t^2."""
    r = residual.to(torch.promote_types(residual.dtype, torch.float64))
    return (r - operator.forward(operator.solve(operator.adjoint(r), t))).to(residual.dtype)
