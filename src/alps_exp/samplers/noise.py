"""Standard normal noise keyed by (seed, image, sample), so that no result depends on batch, order or device count."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class NoiseSource(Protocol):
    """Gives each chain its next standard normal draw."""

    num_samples: int

    def like(self, x: Tensor) -> Tensor:
        """Return a draw (S, *x.shape) of the dtype and device of x (B, C, H, W), for S samples of each image."""


class KeyedNoise:
    """Independent normal draws from a generator of its own for every (seed, image id, sample index).

    Parameters
    ----------
    seed
        Seed of the request.
    image_ids
        An id for every image of the batch.
    num_samples
        Samples (chains) of each image, S.
    device
        Where the numbers are drawn.
    first
        Index of the first sample.
    """

    def __init__(
        self, seed: int, image_ids: Sequence[str], num_samples: int, device: torch.device, first: int = 0
    ) -> None:
        self.num_samples = num_samples
        self._generators = [
            [torch.Generator(device).manual_seed(noise_key(seed, image_id, sample)) for image_id in image_ids]
            for sample in range(first, first + num_samples)
        ]

    def like(self, x: Tensor) -> Tensor:
        """Return the next draw of every chain, (S, *x.shape); complex draws have unit variance in each part."""
        return torch.stack([torch.stack([_normal(g, x) for g in row]) for row in self._generators])


def measurement_noise(seed: int, image_ids: Sequence[str], y: Tensor) -> Tensor:
    """Return the standard normal noise of the measurements `y` (B, ...), one draw an image."""
    generators = [torch.Generator(y.device).manual_seed(noise_key(seed, i, "measurement")) for i in image_ids]
    return torch.stack([_normal(g, y) for g in generators])


def _normal(generator: torch.Generator, x: Tensor) -> Tensor:
    draw = torch.randn(x.shape[1:], generator=generator, dtype=x.dtype, device=generator.device)
    return draw * math.sqrt(2) if x.is_complex() else draw


def noise_key(*parts: object) -> int:
    """Return a seed that is a function of the parts alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
