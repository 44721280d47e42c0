"""Minimization of the potential U by L-BFGS, then by Newton steps, as far as a certificate needs them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from alps_exp.operators.per_image import over_pixels
from alps_exp.samplers.batched_prior import HessianProduct
from alps_exp.samplers.certificate import Ends, real_count, smallest_eigenvalue
from alps_exp.samplers.lanczos import RECENT, Krylov, lanczos
from alps_exp.samplers.lbfgs import LBFGS
from alps_exp.samplers.line_search import line_search
from alps_exp.samplers.potential import Point, Potential

TRUNCATION = 0.1


@dataclass(frozen=True)
class NewtonSettings:
    """How far the minimization goes.

    Attributes
    ----------
    tolerance
        Of the gradient norm, for L-BFGS, and of the decrement, root mean square over the real numbers of an image.
    memory
        Number of correction pairs that L-BFGS keeps.
    products
        Maximum number of Hessian products of a Newton step, and of the look for the smallest eigenvalue.
    """

    tolerance: float
    memory: int
    products: int


def newton(
    potential: Potential, point: Point, start: Tensor, settings: NewtonSettings, iterations: int
) -> Iterator[Ends]:
    """Yield the point and the points after each iteration, with what is known of the Hessian there.

    An image follows L-BFGS until its gradient norm is within the tolerance, and then takes Newton steps. As soon as its
    decrement seems to be within the tolerance, the smallest eigenvalue is looked for. An image ends where the decrement
    is then certain, where no positive floor was found of the eigenvalues, and where a step does not move it.

    Parameters
    ----------
    potential, point
        U, and where to begin.
    start
        Start of the look for the smallest eigenvalue, a draw from N(0, P^(-1)); (S, B, C, H, W).
    settings
        How far to go.
    iterations
        Maximum number of iterations, from 0.

    References
    ----------
    Nocedal & Wright, "Numerical Optimization", 2006, algorithm 7.1.
    """
    tolerance, quasi_newton = settings.tolerance, LBFGS(potential, settings.memory)
    moving = torch.ones_like(point.value, dtype=torch.bool)
    near, system = ~moving, Krylov.nothing(point.x)
    eigenvalue = error = torch.full_like(point.value, math.inf, dtype=torch.float64)
    for left in reversed(range(iterations + 1)):
        near = near | (point.gradient_norm <= tolerance)
        wanted = moving & near if left else moving
        floor = torch.where(eigenvalue.isfinite(), eigenvalue - error, 0)
        renewed = _solve(potential, point, wanted, floor, settings, step_follows=left > 0)
        system = renewed.where(wanted, system)
        ends = Ends(point, system, eigenvalue, error)
        look = wanted & (ends.decrement <= tolerance) & ~ends.known
        if look.any():
            value, its_error = smallest_eigenvalue(potential, point.x, look, start, settings.products)
            eigenvalue, error = torch.where(look, value, eigenvalue), torch.where(look, its_error, error)
            ends = Ends(point, system, eigenvalue, error)
        yield ends
        moving = moving & ~(near & (ends.converged(tolerance) | (ends.known & ~ends.minimum)))
        if not (left and moving.any()):
            return
        # A first product with negative curvature leaves no Newton direction.
        newtonian = near & (system.gains.sum(0) > 0)
        direction = torch.where(over_pixels(newtonian), -system.solution, quasi_newton.direction(point))
        after = line_search(potential, point, direction * over_pixels(moving))
        quasi_newton.update(point, after)
        moved = (after.x != point.x).flatten(-3).any(-1)
        moving, point = moving & (moved | ~near), after


def _solve(
    potential: Potential, point: Point, wanted: Tensor, floor: Tensor, settings: NewtonSettings, *, step_follows: bool
) -> Krylov:
    """Solve H e = g, g and H being gradient and Hessian of U, until it is known what the decrement e^H H e is worth.

    That is when it is within the tolerance for certain, given a positive floor of the eigenvalues; or above it, at once
    where no step follows, else when the last products added no more than a tenth to it. That ends it below the
    tolerance, too, while no floor is known (0).
    """
    allowed = settings.tolerance**2 * real_count(point.x)

    def solve(part: slice, hessian: HessianProduct) -> Krylov:
        def finished(system: Krylov) -> Tensor:
            found = system.gains.sum(0)
            slow = system.gains[-RECENT:].sum(0) <= TRUNCATION * found
            certain = system.decrement_bound(floor[part]) <= allowed
            above = found > allowed
            return certain | (slow & (above | (floor[part] == 0))) | (above & (not step_follows))

        start = point.gradient[part]
        return lanczos(hessian, potential.precondition, start, wanted[part], settings.products, finished)

    return Krylov.cat([solve(part, hessian) for part, hessian in potential.hessians(point.x, wanted)])
