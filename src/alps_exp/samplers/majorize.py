"""Majorize-minimize (MM) on the potential U."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from alps_exp.operators.per_image import inner_product
from alps_exp.samplers.potential import Point, Potential

LARGEST_BOUND = 2.0**20


def majorize_minimize(potential: Potential, point: Point, tolerance: float) -> Iterator[Point]:
    """Yield the points of majorize-minimize, until every gradient norm is within the tolerance.

    The energy is majorized by its tangent plus L c / (2 t^2) ||x - x_k||^2, c being the prior's curvature, and the data
    term is kept; the minimizer of the sum is x_k - P_L grad U, with L c in place of c in P. For L = 1 this is an ALPS
    step without noise. L starts at 1 and doubles for an image as long as the bound does not hold there.

    Parameters
    ----------
    potential, point
        U, and where to start.
    tolerance
        Of the `Point.gradient_norm`.

    References
    ----------
    Chand & Jacob, "MAP image recovery with guarantees using locally convex multi-scale energy model", arXiv 2502.03302
    (2025): the step, with a given L. Their code for arXiv 2305.04775 (2023) evaluates the data term at x - grad E
    instead, which has other minima, and is not followed.
    """
    bound = torch.ones_like(point.value)
    while (searching := point.gradient_norm > tolerance).any():
        before = point
        while (searching := searching & (bound < LARGEST_BOUND)).any():
            step = -potential.precondition(before.gradient, bound)
            trial = potential(before.x + step, searching)
            promised = inner_product(before.gradient, step) / 2
            resolution = 10 * torch.finfo(promised.dtype).eps * before.value.abs()
            holds = searching & (trial.value <= before.value + promised + resolution)
            point, searching = trial.where(holds, point), searching & ~holds
            bound = torch.where(searching, 2 * bound, bound)
        yield point
