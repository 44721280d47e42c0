"""Directions of L-BFGS on the potential U, preconditioned with P."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.samplers.potential import Point, Potential


class LBFGS:
    """The limited-memory BFGS approximation of the inverse Hessian of U, which starts from P.

    Parameters
    ----------
    potential
        U and P.
    memory
        Number of correction pairs that are kept.

    References
    ----------
    Nocedal & Wright, "Numerical Optimization", 2006, algorithm 7.4.
    """

    def __init__(self, potential: Potential, memory: int) -> None:
        self.potential = potential
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=memory)

    def direction(self, point: Point) -> Tensor:
        """Return a direction of descent from the point, (S, B, C, H, W)."""
        direction = -self._inverse_hessian(point.gradient)
        is_descent = inner_product(direction, point.gradient) < 0
        # Fall back to preconditioned steepest descent if rounding or a poor correction pair breaks descent.
        return torch.where(over_pixels(is_descent), direction, -point.preconditioned)

    def update(self, before: Point, after: Point) -> None:
        """Learn from a step."""
        step, change = after.x - before.x, after.gradient - before.gradient
        product = inner_product(step, change)
        # A pair without positive curvature, or of an image that did not move, must not count.
        self._pairs.append((step, change, torch.where(product > 0, 1 / product, 0)))

    def _inverse_hessian(self, gradient: Tensor) -> Tensor:
        """Return the approximation of U''^(-1) applied to the gradient (two-loop recursion)."""
        weights = []
        v = gradient
        for step, change, rho in reversed(self._pairs):
            weight = rho * inner_product(step, v)
            v = v - over_pixels(weight) * change
            weights.append(weight)
        v = self.potential.precondition(v)
        for (step, change, rho), weight in zip(self._pairs, reversed(weights), strict=True):
            v = v + over_pixels(weight - rho * inner_product(change, v)) * step
        return v
