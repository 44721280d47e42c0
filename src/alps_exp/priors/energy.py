"""The multi-scale energy E(x, t) = 1/2 ||x - psi(x, t)||^2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alps_exp.networks.preconditioning import Preconditioned
from alps_exp.priors.base import VJP, EnergyPrior, Scale, as_channels, as_images, as_scales


def energy_and_gradient(
    psi: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Return E (N,) and grad E (N, C, H, W) for real x (N, C, H, W) and t (N,), by one forward pass and one VJP.

    grad E = (x - psi) - J_psi^T (x - psi). The VJP is applied to (x - psi) / t, which is of order one at every scale,
    so low precision neither overflows nor underflows. With `create_graph` both results can be differentiated again, as
    distillation requires; otherwise no graph is kept.

    Source: Chand & Jacob 2026 (arXiv 2601.02594).
    """
    with torch.enable_grad():
        x = x if create_graph and x.requires_grad else x.detach().requires_grad_()
        estimate = psi(x, t)
        residual = x - estimate
        scale = t.to(x.dtype)[:, None, None, None]
        (product,) = torch.autograd.grad(estimate, x, residual / scale, create_graph=create_graph)
        energy = residual.square().sum(dim=(1, 2, 3)) / 2
        gradient = residual - product * scale
    return (energy, gradient) if create_graph else (energy.detach(), gradient.detach())


class Energy(EnergyPrior):
    """The energy of a preconditioned network psi; its gradient costs one forward pass and one VJP.

    Distillation learns the gradient, which leaves open by how much E differs between modes that hardly any image lies
    between: energies of separate modes do not compare, and give modes no weights (SMC, which does, needs no energy).

    Parameters
    ----------
    network
        The network psi of real images (N, channels, H, W); a complex channel is given to it as two.
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

    def energy_and_gradient(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        """Return E of each image, of shape x.shape[:-3], and grad E, of the shape of x (complex: d/dRe + i d/dIm)."""
        inputs = as_channels(x)
        energy, gradient = energy_and_gradient(self._network, inputs, as_scales(t, x))
        self.calls.vjp += len(inputs)
        return energy.reshape(x.shape[:-3]), as_images(gradient, like=x)

    @torch.no_grad()
    def energy(self, x: Tensor, t: Scale) -> Tensor:
        """Return E of each image, of shape x.shape[:-3], by one forward pass."""
        inputs = as_channels(x)
        residual = inputs - self._uncompiled(inputs, as_scales(t, x))
        return residual.square().sum(dim=(1, 2, 3)).reshape(x.shape[:-3]) / 2

    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Return d = x - grad E and the map v -> J^T v, which uses second derivatives of E and costs two VJPs per v."""
        with torch.enable_grad():
            inputs = as_channels(x).detach().requires_grad_()
            _, gradient = energy_and_gradient(self._uncompiled, inputs, as_scales(t, x), create_graph=True)
            outputs = inputs - gradient
        self.calls.vjp += len(inputs)

        def vjp(v: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(outputs, inputs, as_channels(v), retain_graph=True)
            self.calls.vjp += 2 * len(inputs)
            return as_images(product, like=x)

        return as_images(outputs.detach(), like=x), vjp

    def _network(self, inputs: Tensor, sigma: Tensor) -> Tensor:
        self.calls.forward += len(inputs)
        return self.network(inputs, sigma)

    def _uncompiled(self, inputs: Tensor, sigma: Tensor) -> Tensor:
        """Evaluate the network where compiling it is impossible, for second derivatives, or not worth the while."""
        self.calls.forward += len(inputs)
        return self.network.forward(inputs, sigma)
