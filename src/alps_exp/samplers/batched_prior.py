"""Evaluation of a prior in micro-batches, with calls counted per image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial

import torch
from torch import Tensor

from alps_exp.priors.base import VJP, EnergyPrior, Prior

HessianProduct = Callable[[Tensor, Tensor], Tensor]
"""Maps images v (S, B, ...) and a mask (S, B) to the product of a Hessian with v, for the images in the mask."""


class BatchedPrior:
    """A prior evaluated on images (S, B, C, H, W) in micro-batches.

    A part holds at most `micro_batch` images, but always at least one sample of every image. `calls` (B, 2) counts the
    forward passes and vector-Jacobian products spent on each image so far; `denoised` is the result of the last call,
    None if that gave no denoised images.
    """

    def __init__(self, prior: Prior, micro_batch: int | None) -> None:
        self.prior, self.micro_batch = prior, micro_batch
        self.calls = torch.zeros(1, 2, dtype=torch.float64)
        self.denoised: Tensor | None = None

    @property
    def curvature(self) -> float:
        """Curvature of the prior's potential at large t, in units of 1 / t^2."""
        return self.prior.curvature

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """Return the denoised images."""
        with self._count_calls(x):
            self.denoised = d = torch.cat([self.prior.denoise(part, t) for part in self._parts(x)])
        return d

    def denoise_and_apply_vjp(
        self, x: Tensor, t: float, cotangent: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return d = denoise(x, t) and J^T v with v = cotangent(d)."""
        with self._count_calls(x):
            pairs = [self.prior.denoise_and_apply_vjp(part, t, cotangent) for part in self._parts(x)]
        parts, products = zip(*pairs, strict=True)
        self.denoised = d = torch.cat(parts)
        return d, torch.cat(products)

    def denoise_with_vjp(self, x: Tensor, t: float, use: Callable[[Tensor, VJP], Tensor]) -> tuple[Tensor, Tensor]:
        """Return d = denoise(x, t) and use(d, vjp), with vjp(v) = J^T v.

        `use` runs per micro-batch, so that only one part's autograd graph is in memory at a time.
        """

        def denoise_and_use(part: Tensor) -> tuple[Tensor, Tensor]:
            d, vjp = self.prior.denoise_with_vjp(part, t)
            return d, use(d, vjp)

        with self._count_calls(x):
            parts, used = zip(*[denoise_and_use(part) for part in self._parts(x)], strict=True)
        self.denoised = d = torch.cat(parts)
        return d, torch.cat(used)

    def energy_and_gradient(self, x: Tensor, t: float, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return E (S, B) and grad E; both are zero, and cost no prior call, where the mask `wanted` (S, B) is False.

        Raises
        ------
        ValueError
            If the prior has no energy.
        """
        prior, self.denoised = self._energy_prior(), None
        if wanted is None or wanted.all():
            with self._count_calls(x):
                pairs = [prior.energy_and_gradient(part, t) for part in self._parts(x)]
            energies, gradients = zip(*pairs, strict=True)
            return torch.cat(energies), torch.cat(gradients)
        energy, gradient = x.real.new_zeros(x.shape[:-3]), torch.zeros_like(x)
        selected = x[wanted][:, None]
        with self._count_calls(selected, wanted):
            pairs = [prior.energy_and_gradient(part, t) for part in self._parts(selected)]
        energies, gradients = zip(*pairs, strict=True)
        energy[wanted], gradient[wanted] = torch.cat(energies).squeeze(1), torch.cat(gradients).squeeze(1)
        return energy, gradient

    def hessians(self, x: Tensor, t: float, wanted: Tensor) -> Iterator[tuple[slice, HessianProduct]]:
        """Yield slices of the chains x (S, B, ...), with the products of the Hessian of E at the images in `wanted`.

        A product takes images v (s, B, ...) and a mask (s, B) within `wanted`, and returns Hess E v where the mask is
        True, zero elsewhere. Each image has a graph of its own, so that it costs nothing once it is out of the mask.

        Raises
        ------
        ValueError
            If the prior has no energy.
        """
        prior, self.denoised = self._energy_prior(), None
        size = len(self._parts(x)[0])
        for first in range(0, len(x), size):
            part = slice(first, first + size)
            vjps = {}
            for s, b in wanted[part].nonzero().tolist():
                with self._count_calls(x[part][s, b], _only(b, x)):
                    vjps[s, b] = prior.denoise_with_vjp(x[part][s, b], t)[1]
            yield part, partial(self._hessian_product, vjps)

    def _hessian_product(self, vjps: dict[tuple[int, int], VJP], v: Tensor, active: Tensor) -> Tensor:
        product = torch.zeros_like(v)
        for s, b in active.nonzero().tolist():
            with self._count_calls(v[s, b], _only(b, v)):
                # The Jacobian of d = x - grad E / curvature is I - Hess E / curvature.
                product[s, b] = self.curvature * (v[s, b] - vjps[s, b](v[s, b]))
        return product

    def energy(self, x: Tensor, t: float) -> Tensor:
        """Return E of shape x.shape[:-3] for x (S, B, ...) or (B, ...).

        These calls are not counted.

        Raises
        ------
        ValueError
            If the prior has no energy.
        """
        prior = self._energy_prior()
        images = x.reshape(-1, *x.shape[-3:])
        parts = images.split(self.micro_batch or len(images))
        return torch.cat([prior.energy(part, t) for part in parts]).reshape(x.shape[:-3])

    def _energy_prior(self) -> EnergyPrior:
        if not isinstance(self.prior, EnergyPrior):
            raise ValueError(f"this sampler needs a prior with an energy, got a {type(self.prior).__name__}")
        return self.prior

    @contextmanager
    def _count_calls(self, x: Tensor, wanted: Tensor | None = None) -> Iterator[None]:
        """Attribute the prior calls made inside the context to the images of x (S, B, ...), or to `wanted` (S, B).

        Every chain is assumed to cost the same.
        """
        before = copy(self.prior.calls)
        yield
        after, evaluated = self.prior.calls, max(1, x.shape[:-3].numel())
        per_chain = torch.tensor([after.forward - before.forward, after.vjp - before.vjp], dtype=torch.float64)
        per_chain = per_chain / evaluated
        chains = torch.full((x.shape[-4],), len(x)) if wanted is None else wanted.sum(0).cpu()
        self.calls = self.calls + chains[:, None] * per_chain

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        parts: Sequence[Tensor] = x.split(max(1, self.micro_batch // x.shape[1]) if self.micro_batch else len(x))
        return parts


def _only(image: int, x: Tensor) -> Tensor:
    """Return the mask (1, B) of one image of x (S, B, C, H, W)."""
    return torch.arange(x.shape[-4])[None] == image
