"""What samplers may ask of a prior, and how images become network inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Scale = float | Tensor
VJP = Callable[[Tensor], Tensor]


@dataclass
class Calls:
    """Network evaluations so far, counted in images: forward passes and vector-Jacobian products."""

    forward: int = 0
    vjp: int = 0


class Prior(nn.Module, ABC):
    """Says how likely an image is at every noise scale.

    Images have shape (..., C, H, W), real or complex; t is a number or a tensor that broadcasts to the leading
    dimensions. Results have the dtype and device of x, which the prior must share.
    """

    curvature = 1.0
    """Curvature of E / t^2 at large t, in units of 1 / t^2."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = Calls()

    @property
    def calls(self) -> Calls:
        """What the prior has cost so far."""
        return self._calls

    @property
    @abstractmethod
    def channels(self) -> int:
        """Number of real channels of the images: 2 for complex ones of one channel."""

    @abstractmethod
    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Return the estimate d of the clean image from x = clean + t * noise, with the shape of x."""

    @abstractmethod
    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Return d = denoise(x, t) and the map v -> J^T v, for any number of v, with J the Jacobian of d in x.

        What the map needs stays in memory as long as the map is kept.
        """

    def denoise_and_apply_vjp(
        self, x: Tensor, t: Scale, cotangent: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return d = denoise(x, t) and J^T v, where v = cotangent(d) and J is the Jacobian of d in x."""
        d, vjp = self.denoise_with_vjp(x, t)
        return d, vjp(cotangent(d))


class EnergyPrior(Prior):
    """A prior with p(x; t) proportional to exp(-E(x, t) / t^2)."""

    @abstractmethod
    def energy_and_gradient(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        """Return E of each image, shape x.shape[:-3], and its gradient in x, shape of x."""

    @abstractmethod
    def energy(self, x: Tensor, t: Scale) -> Tensor:
        """Return E of each image, shape x.shape[:-3]."""

    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Return x - grad E(x, t) / curvature."""
        return x - self.energy_and_gradient(x, t)[1] / self.curvature


def as_channels(x: Tensor) -> Tensor:
    """Turn images (..., C, H, W) into real network images (N, C or 2C, H, W): real parts, then imaginary parts."""
    if x.is_complex():
        x = torch.cat([x.real, x.imag], dim=-3)
    return x.reshape(-1, *x.shape[-3:])


def as_images(channels: Tensor, like: Tensor) -> Tensor:
    """Undo `as_channels`: give network images the shape and the kind (real or complex) of `like`."""
    if like.is_complex():
        channels = torch.complex(*channels.chunk(2, dim=1))
    return channels.reshape(like.shape)


def as_scales(t: Scale, x: Tensor) -> Tensor:
    """Return t for every image of x (..., C, H, W) as a real tensor (N,)."""
    if not isinstance(t, Tensor):
        return torch.full((x.shape[:-3].numel(),), t, dtype=x.real.dtype, device=x.device)
    return t.to(x.device, x.real.dtype).expand(x.shape[:-3]).reshape(-1)
