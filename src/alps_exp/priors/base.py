"""The interface of priors, and the conversion between images and network inputs."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Scale = float | Tensor
VJP = Callable[[Tensor], Tensor]


@dataclass
class Calls(threading.local):
    """Counts of network evaluations, in images: forward passes and vector-Jacobian products (VJPs).

    Each thread has its own, so that what judges a batch does not count for the sampler that restores the next.
    """

    forward: int = 0
    vjp: int = 0

    def __reduce__(self) -> tuple[type[Calls], tuple[int, int]]:
        """Let copies have the counts of the thread that makes them."""
        return Calls, (self.forward, self.vjp)


class Prior(nn.Module, ABC):
    """An image prior at every noise scale.

    Images have shape (..., C, H, W), real or complex; t is a number or a tensor that broadcasts to the leading
    dimensions. Results have the dtype and device of x, which must match those of the prior.
    """

    curvature = 1.0
    """Curvature of E / t^2 at large t, in units of 1 / t^2."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = Calls()

    @property
    def calls(self) -> Calls:
        """Network evaluations of this thread so far."""
        return self._calls

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) of the images that the prior was made for; None if any size will do, or it is not known."""
        return None

    @property
    @abstractmethod
    def channels(self) -> int:
        """Number of real channels of the images; a complex channel counts as 2."""

    @abstractmethod
    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Return the estimate d of the clean image from x = clean + t * noise, of the shape of x."""

    @abstractmethod
    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Return d = denoise(x, t) and the map v -> J^T v, with J the Jacobian of d with respect to x.

        The map can be applied any number of times. The autograd graph stays in memory until the map is discarded.
        """

    def denoise_and_apply_vjp(
        self, x: Tensor, t: Scale, cotangent: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return d = denoise(x, t) and J^T v, with v = cotangent(d) and J the Jacobian of d with respect to x."""
        d, vjp = self.denoise_with_vjp(x, t)
        return d, vjp(cotangent(d))


class EnergyPrior(Prior):
    """A prior given by an energy E: p(x; t) is proportional to exp(-E(x, t) / t^2)."""

    @abstractmethod
    def energy_and_gradient(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        """Return E of each image, of shape x.shape[:-3], and its gradient with respect to x, of the shape of x."""

    @abstractmethod
    def energy(self, x: Tensor, t: Scale) -> Tensor:
        """Return E of each image, shape x.shape[:-3]."""

    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Return x - grad E(x, t) / curvature."""
        return x - self.energy_and_gradient(x, t)[1] / self.curvature


def as_channels(x: Tensor) -> Tensor:
    """Convert images (..., C, H, W) to real network inputs (N, C or 2C, H, W): real parts, then imaginary parts."""
    if x.is_complex():
        x = torch.cat([x.real, x.imag], dim=-3)
    return x.reshape(-1, *x.shape[-3:])


def as_images(channels: Tensor, like: Tensor) -> Tensor:
    """Invert `as_channels`: return images of the shape and kind (real or complex) of `like`."""
    if like.is_complex():
        channels = torch.complex(*channels.chunk(2, dim=1))
    return channels.reshape(like.shape)


def as_scales(t: Scale, x: Tensor) -> Tensor:
    """Expand t to one value per image of x (..., C, H, W), as a real tensor (N,)."""
    if not isinstance(t, Tensor):
        return torch.full((x.shape[:-3].numel(),), t, dtype=x.real.dtype, device=x.device)
    return t.to(x.device, x.real.dtype).expand(x.shape[:-3]).reshape(-1)
