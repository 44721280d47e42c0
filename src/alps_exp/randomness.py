"""Every random generator: a function of its key (a seed and an image id, a sample, a step or an item) alone.

So no result depends on batch, order or number of processes. Noise of samplers and measurements is drawn on the CPU,
whatever device works with it: each kind of device has random numbers of its own, and a sample would be another one on a
GPU.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

PERMUTATION, AUGMENTATION = 0, 1
"""What tells the streams of a training's seed apart: the order of its images, and what is done to each."""


class NoiseSource(Protocol):
    """Gives each chain its next standard normal draw."""

    num_samples: int

    def draw(self, x: Tensor) -> Tensor:
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

    def draw(self, x: Tensor) -> Tensor:
        """Return the next draw of every chain, (S, *x.shape); complex draws have unit variance in each part."""
        return torch.stack([_normals(row, x) for row in self._generators]).to(x.device)


def image_noise(x: Tensor, *keys: Sequence[object]) -> Tensor:
    """Return standard normal noise of the shape and dtype of the images x (B, ...), image b of the key `keys[b]`."""
    return _normals([torch_generator(*key) for key in keys], x).to(x.device)


def measurement_noise(seed: int, image_ids: Sequence[str], y: Tensor) -> Tensor:
    """Return the standard normal noise of the measurements `y` (B, ...), one draw an image."""
    return image_noise(y, *[(seed, image_id, "measurement") for image_id in image_ids])


def _normals(generators: Sequence[torch.Generator], x: Tensor) -> Tensor:
    """Return a draw of the shape and dtype of x (B, ...) on the CPU, each image of it from its own generator."""
    draws = torch.stack([torch.randn(x.shape[1:], generator=g, dtype=x.dtype) for g in generators])
    return draws * math.sqrt(2) if x.is_complex() else draws


def torch_generator(*parts: object) -> torch.Generator:
    """Return a generator on the CPU whose numbers are a function of the parts alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def numpy_generator(seed: int, image_id: str) -> np.random.Generator:
    """Return the generator that belongs to an image: a pure function of seed and image id."""
    digest = hashlib.sha256(f"{seed}/{image_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def epoch_permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order (count,) in which an epoch of training shows the images of a dataset."""
    return np.random.default_rng([seed, PERMUTATION, epoch]).permutation(count)


def item_key(seed: int, position: int) -> int:
    """Return the key of the training item at a position of the endless sequence of epochs, see `item_generator`."""
    sequence = np.random.SeedSequence([seed, AUGMENTATION, position])
    return int(sequence.generate_state(1, np.uint64)[0])


def item_generator(key: int | None, *stream: int) -> np.random.Generator:
    """Return the generator of a training item with a key, or one of its further streams.

    Raises
    ------
    ValueError
        If the item came without a key.
    """
    if key is None:
        raise ValueError("training items need (index, key) from a StepKeyedBatchSampler, got an index alone")
    return np.random.default_rng([key, *stream] if stream else key)


def step_generator(seed: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """Return the generator of one step and rank, a pure function of its arguments.

    It draws on the device, since a step of training waits for its noise: another kind of device draws other numbers.
    """
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))
