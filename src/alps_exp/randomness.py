"""Keyed random generators: each is a pure function of its key (a seed with an image id, a sample, a step or an item).

Results therefore do not depend on the batch, the order of the images or the number of processes. Noise for samplers and
measurements is always drawn on the CPU: generators on different kinds of devices produce different numbers, so drawing
on the GPU would give different samples than on the CPU.
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
"""Stream tags that separate the random streams of one training seed: image order and augmentation."""


DRAWS_AHEAD, NUMBERS_AHEAD = 8, 2**22
VECTOR = 16
"""Numbers that torch makes at a time: a stream made in multiples of it does not depend on where it is cut."""


class NoiseSource(Protocol):
    """A source of standard normal noise, with an independent stream for every chain."""

    num_samples: int

    def draw(self, x: Tensor) -> Tensor:
        """Return a draw (S, *x.shape) of the dtype and device of x (B, C, H, W), for S samples of each image."""


class KeyedNoise:
    """Standard normal noise with a separate generator for every (seed, image id, sample index).

    Antithetic chains 2k and 2k + 1 share the generator of sample 2k, and the second one gets the negative of every
    draw. Each has the same law as an independent chain, and chain 2k the same numbers.

    The numbers of a chain are one stream, from which draws of any shape take in turn. They are made, and moved to the
    device, for several draws at once: a draw then costs one indexing for all chains, not a launch for each.

    Parameters
    ----------
    seed
        Seed of the run.
    image_ids
        One id for each image of the batch.
    num_samples
        Number of samples (chains) per image, S.
    first
        Index of the first sample.
    antithetic
        Whether the chains are pairs.
    """

    def __init__(
        self, seed: int, image_ids: Sequence[str], num_samples: int, first: int = 0, antithetic: bool = False
    ) -> None:
        self.num_samples = num_samples
        chains = range(first, first + num_samples)
        of_chains = [chain - chain % 2 if antithetic else chain for chain in chains]
        sources = sorted(set(of_chains))
        self._generators = [[torch_generator(seed, image_id, source) for image_id in image_ids] for source in sources]
        self._rows = torch.tensor([sources.index(source) for source in of_chains])
        self._signs = torch.tensor([-1.0 if antithetic and chain % 2 else 1.0 for chain in chains])
        self._left: dict[torch.dtype, Tensor] = {}

    def draw(self, x: Tensor) -> Tensor:
        """Return the next draw of every chain, (S, *x.shape); complex draws have unit variance in each part."""
        if self._rows.device != x.device:  # once, since the host waits for it
            self._rows, self._signs = self._rows.to(x.device), self._signs.to(x.device)
        shape = (*x.shape[1:], 2) if x.is_complex() else x.shape[1:]
        numbers = self._next(math.prod(shape), x).unflatten(-1, shape)
        signs = self._signs.to(numbers.dtype).reshape(-1, *[1] * (numbers.ndim - 1))
        chains = numbers.index_select(0, self._rows) * signs
        return torch.view_as_complex(chains) if x.is_complex() else chains

    def _next(self, count: int, x: Tensor) -> Tensor:
        """Return the next numbers of every source and image, (sources, B, count), in the precision of x."""
        dtype = x.dtype.to_real()
        left = self._left.get(dtype)
        if left is None or left.shape[-1] < count:
            missing = count - (0 if left is None else left.shape[-1])
            sources, images = len(self._generators), len(self._generators[0])
            ahead = max(1, min(DRAWS_AHEAD, NUMBERS_AHEAD // (sources * images * count)))
            size = -(-(missing + (ahead - 1) * count) // VECTOR) * VECTOR
            fresh = torch.empty(sources, images, size, dtype=dtype, pin_memory=x.is_cuda)
            for row, generators in zip(fresh, self._generators, strict=True):
                for stream, generator in zip(row, generators, strict=True):
                    torch.randn(size, generator=generator, out=stream)
            fresh = fresh.to(x.device, non_blocking=True)
            left = fresh if left is None else torch.cat([left, fresh], dim=-1)
        self._left[dtype] = left[..., count:]
        return left[..., :count]


def image_noise(x: Tensor, *keys: Sequence[object]) -> Tensor:
    """Return standard normal noise of the shape and dtype of x (B, ...); `keys[b]` is the key of image b."""
    return _normals([torch_generator(*key) for key in keys], x).to(x.device)


def measurement_noise(seed: int, image_ids: Sequence[str], y: Tensor) -> Tensor:
    """Return standard normal noise for the measurements `y` (B, ...), drawn per image."""
    return image_noise(y, *[(seed, image_id, "measurement") for image_id in image_ids])


def _normals(generators: Sequence[torch.Generator], x: Tensor) -> Tensor:
    """Return a draw of the shape and dtype of x (B, ...), on the CPU, with one generator per image."""
    draws = torch.stack([torch.randn(x.shape[1:], generator=g, dtype=x.dtype) for g in generators])
    # torch's complex normals have variance 1/2 in each part; here each part has variance 1.
    return draws * math.sqrt(2) if x.is_complex() else draws


def torch_generator(*parts: object) -> torch.Generator:
    """Return a CPU generator seeded by the key `parts` alone."""
    # Python's hash() of strings is salted per process, so it cannot seed a generator reproducibly.
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def numpy_generator(seed: int, image_id: str) -> np.random.Generator:
    """Return the generator of an image, a pure function of seed and image id."""
    digest = hashlib.sha256(f"{seed}/{image_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def epoch_permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the image order (count,) of a training epoch."""
    return np.random.default_rng([seed, PERMUTATION, epoch]).permutation(count)


def item_key(seed: int, position: int) -> int:
    """Return the key, for `item_generator`, of the training item at a position counted across all epochs."""
    sequence = np.random.SeedSequence([seed, AUGMENTATION, position])
    return int(sequence.generate_state(1, np.uint64)[0])


def item_generator(key: int | None, *stream: int) -> np.random.Generator:
    """Return the generator of the training item with this key, or of one of its additional streams.

    Raises
    ------
    ValueError
        If the key is None.
    """
    if key is None:
        raise ValueError("training items need (index, key) from a StepKeyedBatchSampler, got an index alone")
    return np.random.default_rng([key, *stream] if stream else key)


def step_generator(seed: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """Return the generator of one training step on one rank, a pure function of its arguments.

    Unlike the other generators it draws on the training device, because noise drawn on the CPU would hold up every
    step. The numbers therefore differ between kinds of devices.
    """
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))
