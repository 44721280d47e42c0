"""The teacher: a diffusion denoiser D as a prior."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alps_exp.priors.base import Prior, Scale, as_channels, as_images, as_scales
from alps_exp.priors.preconditioning import EDMPrecond


class Denoiser(Prior):
    """Denoiser prior with score (D(x, t) - x) / t^2 from a preconditioned network; one forward pass a call."""

    def __init__(self, network: EDMPrecond) -> None:
        super().__init__()
        self.network = network

    @property
    def channels(self) -> int:
        """Number of real channels of the images: 2 for complex ones of one channel."""
        return self.network.channels

    @torch.no_grad()
    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Return D(x, t)."""
        return as_images(self._network(as_channels(x), as_scales(t, x)), like=x)

    def denoise_and_pull_back(
        self, x: Tensor, t: Scale, cotangent: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return d = D(x, t) and J^T v, v = cotangent(d); a forward pass and a vector-Jacobian product."""
        with torch.enable_grad():
            inputs = as_channels(x).detach().requires_grad_()
            outputs = self._network(inputs, as_scales(t, x))
        d = as_images(outputs.detach(), like=x)
        (product,) = torch.autograd.grad(outputs, inputs, as_channels(cotangent(d)))
        self.calls.vjp += len(inputs)
        return d, as_images(product, like=x)

    def _network(self, inputs: Tensor, sigma: Tensor) -> Tensor:
        self.calls.forward += len(inputs)
        return self.network(inputs, sigma)
