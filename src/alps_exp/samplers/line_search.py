"""The line search of the minimizers, on the potential U."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.samplers.potential import Point, Potential

SUFFICIENT_DECREASE, CURVATURE, STILL_FALLING = 1e-4, 0.9, 0.2
SMALLEST_STEP, LARGEST_STEP = 2.0**-12, 100.0


def line_search(potential: Potential, point: Point, direction: Tensor) -> Point:
    """Return a point of lower U for each image, or the current point if the search fails.

    The unit step is halved until U decreases sufficiently. If U still decreases steeply at the end of the unit step,
    the secant step is tried as well.

    References
    ----------
    Hager & Zhang, SIAM J. Optim. 16, 2005: the criterion once rounding hides the decrease of U.
    """
    slope = inner_product(point.gradient, direction)
    # Near the minimum the decrease of U drowns in rounding; the slopes, accurate there, decide instead.
    resolution = 10 * torch.finfo(slope.dtype).eps * point.value.abs()
    result = point
    searching = slope < 0
    size = 1.0
    while searching.any() and size >= SMALLEST_STEP:
        trial = potential(point.x + size * direction, searching)
        end_slope = inner_product(trial.gradient, direction)
        enough = trial.value <= point.value + SUFFICIENT_DECREASE * size * slope
        flat = end_slope.abs() <= CURVATURE * slope.abs()
        accepted = searching & (enough | (flat & (trial.value <= point.value + resolution)))
        result = trial.where(accepted, result)
        if size == 1.0:
            result = _extend(potential, point, result, direction, accepted & (end_slope < STILL_FALLING * slope))
        searching = searching & ~accepted
        size /= 2
    return result


def _extend(potential: Potential, point: Point, unit: Point, direction: Tensor, chosen: Tensor) -> Point:
    """Return the better of the unit step and the secant step, which is exact if U is quadratic along the direction."""
    if not chosen.any():
        return unit
    slope, end_slope = inner_product(point.gradient, direction), inner_product(unit.gradient, direction)
    size = torch.where(chosen, slope / (slope - end_slope), 1).clamp(1, LARGEST_STEP)
    trial = potential(point.x + over_pixels(size) * direction, chosen)
    return trial.where(chosen & (trial.value < unit.value), unit)
