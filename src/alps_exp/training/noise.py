"""Distribution of the noise scales in training, and noisy training images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogNormalSigma:
    """Noise scales with ln(sigma) ~ N(mean, std^2) (Karras et al. 2022, Table 1: -1.2, 1.2).

    Parameters
    ----------
    mean
        Mean of ln(sigma), with sigma in the units of the images.
    std
        Standard deviation of ln(sigma), at least 0.

    Raises
    ------
    ValueError
        If the mean is not finite, or the standard deviation negative or not finite.
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise ValueError(f"sigma.mean must be finite, got {self.mean}")
        if not 0 <= self.std < math.inf:
            raise ValueError(f"sigma.std must be at least 0 and finite, got {self.std}")

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` noise scales (count,) on the generator's device."""
        return (self.mean + self.std * torch.randn(count, generator=generator, device=generator.device)).exp()


def add_noise(x: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Return x + sigma * n for x (N, C, H, W) and sigma (N,)."""
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x + sigma[:, None, None, None] * noise
