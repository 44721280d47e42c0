"""What is known of the end of a minimization: how far the minimizer is, and whether there is one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from alps_exp.operators.per_image import inner_product
from alps_exp.samplers.lanczos import Krylov, lanczos
from alps_exp.samplers.potential import Point, Potential

BASIN_TOLERANCES = 4.0
ROUNDING = 1e-5
"""In units of P, a negative curvature smaller than this may be rounding in the products of a Hessian in float32."""


@dataclass
class Ends:
    """Points (S, B) at which minimizations are, with what is known of the Hessian H of U there.

    Attributes
    ----------
    point
        The points, with gradient g.
    system
        What the solve of H e = g tells; nothing for images that follow L-BFGS.
    eigenvalue, error
        The smallest eigenvalue of H in units of P, from a random start (`smallest_eigenvalue`); infinite where that was
        not looked for. It may be from a point that is one or a few Newton steps away.
    """

    point: Point
    system: Krylov
    eigenvalue: Tensor
    error: Tensor

    def at(self, sample: Tensor) -> Ends:
        """Select ends by index (S', B), separately for every image."""
        image = torch.arange(sample.shape[-1], device=sample.device)
        eigenvalue, error = self.eigenvalue[sample, image], self.error[sample, image]
        return Ends(self.point.at(sample), self.system.at(sample), eigenvalue, error)

    @property
    def known(self) -> Tensor:
        """Where the smallest eigenvalue was looked for."""
        return self.eigenvalue.isfinite()

    @property
    def curvature(self) -> tuple[Tensor, Tensor]:
        """The smallest eigenvalue of H in units of P, and its error.

        Where the gradient holds an eigenvalue that the random start has missed, and where that was not looked for, it
        is that of the Newton system.
        """
        value, error = self.system.curvature()
        chosen = self.known & ((self.system.count == 0) | (value >= self.eigenvalue - self.error))
        return torch.where(chosen, self.eigenvalue, value), torch.where(chosen, self.error, error)

    @property
    def floor(self) -> Tensor:
        """A lower bound of the curvature; 0 where it was not looked for."""
        value, error = self.curvature
        return torch.where(self.known, value - error, 0)

    @property
    def decrement(self) -> Tensor:
        """Newton decrement, root mean square over the real numbers of an image; a lower bound."""
        return (self.system.decrement / real_count(self.point.x)).sqrt()

    @property
    def decrement_bound(self) -> Tensor:
        """Upper bound of the `decrement`; infinite if there is none."""
        return (self.system.decrement_bound(self.floor) / real_count(self.point.x)).sqrt()

    @property
    def minimum(self) -> Tensor:
        """Where the curvature is positive beyond its error."""
        return self.floor > 0

    def saddle(self, tolerance: float) -> Tensor:
        """Where the gradient norm is within the tolerance, and a curvature negative."""
        return (self.point.gradient_norm <= tolerance) & (self.curvature[0] < -ROUNDING)

    def converged(self, tolerance: float) -> Tensor:
        """Where a minimizer is within the tolerance."""
        return self.minimum & (self.decrement_bound <= tolerance)


def smallest_eigenvalue(
    potential: Potential, x: Tensor, wanted: Tensor, start: Tensor, products: int
) -> tuple[Tensor, Tensor]:
    """Return the smallest eigenvalue of the Hessian of U in units of P, and its error, (S, B) each.

    The iteration ends when the error is within half of the eigenvalue, or the eigenvalue is negative.

    Parameters
    ----------
    potential
        U and P.
    x
        Where, (S, B, C, H, W).
    wanted
        For which images, (S, B).
    start
        A draw from N(0, P^(-1)), which has no preferred direction.
    products
        Maximum number of Hessian products.
    """

    def finished(space: Krylov) -> Tensor:
        value, error = space.curvature()
        return (value < -ROUNDING) | (error <= value / 2)

    parts = [
        lanczos(hessian, potential.precondition, start[part], wanted[part], products, finished)
        for part, hessian in potential.hessians(x, wanted)
    ]
    return Krylov.cat(parts).curvature()


def count_basins(potential: Potential, ends: Ends, tolerance: float) -> Tensor:
    """Return the number of basins, (B,), among the ends (S, B) that have converged.

    Two of them are in one basin if they are closer than four tolerances, root mean square in posterior standard
    deviations by the Hessian at one of them.
    """
    x, found = ends.point.x, ends.converged(tolerance)
    near = torch.zeros(len(x), *found.shape, dtype=torch.bool, device=found.device)
    index = torch.arange(len(x), device=found.device)[:, None]
    later = found & (index > 0)
    for part, hessian in potential.hessians(x, later):
        for earlier in range(len(x) - 1):
            step = x[part] - x[earlier]
            pairs = later[part] & found[earlier] & (index[part] > earlier)
            distance = inner_product(step, hessian(step, pairs)) / real_count(step)
            near[earlier, part] = pairs & (distance <= (BASIN_TOLERANCES * tolerance) ** 2)
    return (found & ~near.any(0)).sum(0)


def real_count(x: Tensor) -> int:
    """Return the number of real numbers in an image of x (..., C, H, W)."""
    return x.shape[-3:].numel() * (2 if x.is_complex() else 1)
