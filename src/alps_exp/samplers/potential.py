"""The potential U_t of the posterior family p_t(x | y), what MAP descends and Metropolis moves obey."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.samplers.batched_prior import BatchedPrior


@dataclass
class Point:
    """Images x (S, B, C, H, W) with U (S, B), its gradient g, and P g."""

    x: Tensor
    value: Tensor
    gradient: Tensor
    preconditioned: Tensor

    @property
    def square(self) -> Tensor:
        """Return g^H P g (S, B): the gradient in units of the posterior's width, squared."""
        return inner_product(self.gradient, self.preconditioned)

    def where(self, chosen: Tensor, other: Point) -> Point:
        """Return this point for the chosen (S, B), the other one for the rest."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Point(*(torch.where(chosen if a.ndim == chosen.ndim else over_pixels(chosen), a, b) for a, b in pairs))

    def at(self, sample: Tensor) -> Point:
        """Return the points of the sample indices (S', B), for every image its own."""
        image = torch.arange(sample.shape[-1], device=sample.device)
        return Point(*(getattr(self, f.name)[sample, image] for f in fields(self)))


class Potential:
    """U_t(x) = E(x, t) / t^2 + ||A x - y||^2 / (2 eta^2) at one scale t, and the preconditioner P.

    P = (A^H A / eta^2 + c I / t^2)^(-1) is the covariance of the ALPS step, with c the curvature of the prior. Where
    conjugate gradients apply it, P v is off by at most `accuracy` in units of the posterior's width.

    Source: Chand & Jacob 2026 (arXiv 2601.02594).
    """

    def __init__(
        self, prior: BatchedPrior, operator: LinearOperator, y: Tensor, t: float, accuracy: float = 1e-3
    ) -> None:
        self.prior, self.operator, self.y, self.t = prior, operator, y, t
        self.scale = operator.tolerance * operator.noise_std**2 / accuracy
        self.width = t / prior.curvature**0.5

    def __call__(self, x: Tensor, wanted: Tensor | None = None) -> Point:
        """Return the point at x; where it is not `wanted` (S, B) the prior is not asked, and E is zero."""
        operator, t = self.operator, self.t
        energy, gradient = self.prior.energy_and_gradient(x, t, wanted)
        gradient = gradient / t**2 + operator.adjoint(operator.forward(x) - self.y) / operator.noise_std**2
        return Point(x, energy / t**2 + operator.misfit(x, self.y), gradient, self.precondition(gradient))

    def precondition(self, v: Tensor) -> Tensor:
        """Return P v."""
        # A solve stops at an absolute error: the scale of v sets what that means.
        return self.operator.noise_std**2 / self.scale * self.operator.solve(self.scale * v, self.width)

    def color(self, noise: tuple[Tensor, Tensor]) -> Tensor:
        """Return a draw of N(0, P) from standard normal noise of the measurement's and of the image's shape."""
        return self.operator.posterior_sample(torch.zeros_like(noise[1]), torch.zeros_like(self.y), self.width, noise)
