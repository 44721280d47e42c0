"""Standard normal noise keyed by (seed, image, sample), so that no result depends on batch, order or device.

It is drawn on the CPU, whatever device works with it: each kind of device has random numbers of its own, and a sample
would be another one on a GPU.
"""

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
    first
        Index of the first sample.
    """

    def __init__(self, seed: int, image_ids: Sequence[str], num_samples: int, first: int = 0) -> None:
        self.num_samples = num_samples
        self._generators = [
            [torch_generator(seed, image_id, sample) for image_id in image_ids]
            for sample in range(first, first + num_samples)
        ]

    def like(self, x: Tensor) -> Tensor:
        """Return the next draw of every chain, (S, *x.shape); complex draws have unit variance in each part."""
        return torch.stack([_normals(row, x) for row in self._generators]).to(x.device)


def measurement_noise(seed: int, image_ids: Sequence[str], y: Tensor) -> Tensor:
    """Return the standard normal noise of the measurements `y` (B, ...), one draw an image."""
    return _normals([torch_generator(seed, image_id, "measurement") for image_id in image_ids], y).to(y.device)


def _normals(generators: Sequence[torch.Generator], x: Tensor) -> Tensor:
    """Return a draw of the shape and dtype of x (B, ...) on the CPU, each image of it from its own generator."""
    draws = torch.stack([torch.randn(x.shape[1:], generator=g, dtype=x.dtype) for g in generators])
    return draws * math.sqrt(2) if x.is_complex() else draws


def torch_generator(*parts: object) -> torch.Generator:
    """Return a generator on the CPU whose numbers are a function of the parts alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
