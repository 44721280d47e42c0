"""The potential U_t of the posterior family p_t(x | y), used by MAP and by Metropolis moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.samplers.batched_prior import BatchedPrior, HessianProduct


@dataclass
class Point:
    """Images x (S, B, C, H, W) with U (S, B), its gradient g and the preconditioned gradient P g."""

    x: Tensor
    value: Tensor
    gradient: Tensor
    preconditioned: Tensor

    @property
    def square(self) -> Tensor:
        """g^H P g (S, B): the squared norm of the gradient in units of the posterior's width."""
        return inner_product(self.gradient, self.preconditioned)

    @property
    def gradient_norm(self) -> Tensor:
        """sqrt(g^H P g / n) (S, B), where n counts complex numbers once.

        It understates the distance to a minimizer where the data leave open what the prior knows less well than P says.
        """
        return (self.square / self.x.shape[-3:].numel()).sqrt()

    def where(self, chosen: Tensor, other: Point) -> Point:
        """Return this point where the mask `chosen` (S, B) is True, and `other` elsewhere."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Point(*(torch.where(chosen if a.ndim == chosen.ndim else over_pixels(chosen), a, b) for a, b in pairs))

    def at(self, sample: Tensor) -> Point:
        """Select samples by index (S', B), separately for every image."""
        image = torch.arange(sample.shape[-1], device=sample.device)
        return Point(*(getattr(self, f.name)[sample, image] for f in fields(self)))


class Potential:
    """The potential U_t(x) = E(x, t) / t^2 + ||A x - y||^2 / (2 eta^2) at one scale t, and its preconditioner P.

    P = (A^H A / eta^2 + c I / t^2)^(-1) is the covariance of the ALPS step, with c the curvature of the prior. If the
    operator solves by conjugate gradients, the error of P v is at most `accuracy` in units of the posterior's width.

    Source: Chand & Jacob 2026 (arXiv 2601.02594).
    """

    def __init__(
        self, prior: BatchedPrior, operator: LinearOperator, y: Tensor, t: float, accuracy: float = 1e-3
    ) -> None:
        self.prior, self.operator, self.y, self.t = prior, operator, y, t
        self.scale = operator.tolerance * operator.noise_std**2 / accuracy
        self.width = t / prior.curvature**0.5

    def __call__(self, x: Tensor, wanted: Tensor | None = None) -> Point:
        """Return the point at x. Where the mask `wanted` (S, B) is False, the prior is not evaluated and E is zero."""
        operator, t = self.operator, self.t
        energy, gradient = self.prior.energy_and_gradient(x, t, wanted)
        gradient = gradient / t**2 + operator.adjoint(operator.forward(x) - self.y) / operator.noise_std**2
        return Point(x, energy / t**2 + operator.misfit(x, self.y), gradient, self.precondition(gradient))

    def hessians(self, x: Tensor, wanted: Tensor) -> Iterator[tuple[slice, HessianProduct]]:
        """Yield slices of the chains with the products of the Hessian of U there, as `BatchedPrior.hessians`."""
        for part, of_energy in self.prior.hessians(x, self.t, wanted):
            yield part, partial(self._hessian_product, of_energy)

    def _hessian_product(self, of_energy: HessianProduct, v: Tensor, active: Tensor) -> Tensor:
        return of_energy(v, active) / self.t**2 + self.operator.normal(v) / self.operator.noise_std**2

    def precondition(self, v: Tensor, bound: Tensor | None = None) -> Tensor:
        """Return P v, or that with `bound` (S, B) times the curvature of the prior."""
        width = self.width if bound is None else self.width * bound.rsqrt()
        # The solver's tolerance is absolute, so scaling v sets the accuracy of P v.
        return self.operator.noise_std**2 / self.scale * self.operator.solve(self.scale * v, width)

    def color(self, noise: tuple[Tensor, Tensor]) -> Tensor:
        """Return a draw from N(0, P), given standard normal noise of the measurement's and of the image's shape."""
        return self.operator.posterior_sample(torch.zeros_like(noise[1]), torch.zeros_like(self.y), self.width, noise)

    def whiten(self, noise: tuple[Tensor, Tensor]) -> Tensor:
        """Return a draw from N(0, P^(-1)), given standard normal noise as for `color`."""
        e1, e2 = noise
        draw: Tensor = self.operator.adjoint(e1) / self.operator.noise_std + e2 / self.width
        return draw
