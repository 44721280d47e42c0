"""The teacher prior: a diffusion denoiser D."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.networks.preconditioning import Preconditioned
from alps_exp.priors.base import VJP, Prior, Scale, as_channels, as_images, as_scales


class Denoiser(Prior):
    """Prior given by a preconditioned denoiser network D, with score (D(x, t) - x) / t^2; one forward pass per call.

    Parameters
    ----------
    network
        The denoiser D of real images (N, channels, H, W); a complex channel is given to it as two.
    """

    def __init__(self, network: Preconditioned) -> None:
        super().__init__()
        self.network = network

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) of the images that the network was trained on; None: not known."""
        return self.network.image_size

    @property
    def channels(self) -> int:
        """Number of real channels of the images; a complex channel counts as 2."""
        return self.network.channels

    @torch.no_grad()
    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Return D(x, t)."""
        return as_images(self._network(as_channels(x), as_scales(t, x)), like=x)

    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Return d = D(x, t) and the map v -> J^T v; costs one forward pass, and one VJP for each v."""
        with torch.enable_grad():
            inputs = as_channels(x).detach().requires_grad_()
            outputs = self._network(inputs, as_scales(t, x))

        def vjp(v: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(outputs, inputs, as_channels(v), retain_graph=True)
            self.calls.vjp += len(inputs)
            return as_images(product, like=x)

        return as_images(outputs.detach(), like=x), vjp

    def _network(self, inputs: Tensor, sigma: Tensor) -> Tensor:
        self.calls.forward += len(inputs)
        return self.network(inputs, sigma)
