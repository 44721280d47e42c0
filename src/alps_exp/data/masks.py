"""Sampling masks, one for each image and keyed by it, whatever batch it is in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alps_exp.data.keys import keyed_generator

Array = np.ndarray


class Mask(ABC):
    """A rule that draws a mask for each image of a batch.

    Called with a batch (``image`` (B, C, H, W) and ``image_id``, B strings) it returns (B, 1, H, W) float32
    on the image's device: 1 where a pixel or k-space sample is measured, 0 elsewhere. The mask of an image
    depends on `seed`, image id, H and W alone. k-space masks have zero frequency at H // 2, W // 2.

    Parameters
    ----------
    seed
        Seed of the drawing.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Return the masks of a batch; see the class."""
        image = batch["image"]
        height, width = image.shape[-2:]
        masks = [self.draw(keyed_generator(self.seed, i), height, width) for i in batch["image_id"]]
        return torch.from_numpy(np.stack(masks)[:, None].astype(np.float32)).to(image.device)

    @abstractmethod
    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width) of 0 and 1."""


class RandomMask(Mask):
    """Drops a fraction of the pixels, exactly round(fraction * H * W) of them, scattered uniformly.

    Parameters
    ----------
    fraction
        Fraction of the pixels to drop, from 0 to below 1.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where fraction is not in [0, 1).
    """

    def __init__(self, fraction: float, seed: int = 0) -> None:
        super().__init__(seed)
        if not 0 <= fraction < 1:
            raise ValueError(f"fraction of dropped pixels must be in [0, 1), got {fraction}")
        self.fraction = fraction

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        num_pixels = height * width
        mask = np.ones(num_pixels)
        mask[rng.permutation(num_pixels)[: round(self.fraction * num_pixels)]] = 0
        return mask.reshape(height, width)


class BoxMask(Mask):
    """Drops a square of pixels.

    Parameters
    ----------
    size
        Side of the square, in pixels.
    position
        ``centre``, or ``random``: anywhere inside the image.
    seed
        Seed of the position.

    Raises
    ------
    ValueError
        Where position or size does not fit, or the square is larger than an image.
    """

    def __init__(self, size: int, position: str = "centre", seed: int = 0) -> None:
        super().__init__(seed)
        if size < 1:
            raise ValueError(f"size of the box must be at least 1 pixel, got {size}")
        if position not in ("centre", "random"):
            raise ValueError(f"position of the box must be centre or random, got {position!r}")
        self.size = size
        self.position = position

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        room = np.array([height, width]) - self.size
        if room.min() < 0:
            raise ValueError(
                f"a box of {self.size} x {self.size} does not fit an image of {height} x {width}"
            )
        top, left = room // 2 if self.position == "centre" else rng.integers(room + 1)
        mask = np.ones((height, width))
        mask[top : top + self.size, left : left + self.size] = 0
        return mask


class _CartesianMask(Mask):
    """What the k-space masks share: how many samples to keep, and how many of them in the centre."""

    def __init__(self, acceleration: float, center_fraction: float, seed: int = 0) -> None:
        super().__init__(seed)
        if acceleration < 1:
            raise ValueError(f"acceleration must be at least 1, got {acceleration}")
        if not 0 <= center_fraction <= 1:
            raise ValueError(f"center_fraction must be in [0, 1], got {center_fraction}")
        self.acceleration = acceleration
        self.center_fraction = center_fraction

    def _check(self, num_center: int, num_kept: int) -> None:
        if num_kept < max(num_center, 1):
            raise ValueError(
                f"acceleration {self.acceleration} keeps {num_kept} samples, "
                f"fewer than the {max(num_center, 1)} of the centre (center_fraction {self.center_fraction})"
            )


class CartesianMask1D(_CartesianMask):
    """Keeps columns of k-space: a fully sampled centre and others, exactly round(W / acceleration) in all.

    Parameters
    ----------
    acceleration
        Columns over columns kept, at least 1.
    center_fraction
        Fraction of the columns in the fully sampled centre.
    kind
        ``random``: the others are drawn uniformly; ``equispaced``: evenly spread over the columns outside the
        centre, with a random offset.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a parameter is out of range, or the centre alone exceeds what the acceleration keeps.
    """

    def __init__(
        self, acceleration: float, center_fraction: float = 0.08, kind: str = "random", seed: int = 0
    ) -> None:
        super().__init__(acceleration, center_fraction, seed)
        if kind not in ("random", "equispaced"):
            raise ValueError(f"kind of mask must be random or equispaced, got {kind!r}")
        self.kind = kind

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        num_center, num_kept = round(self.center_fraction * width), round(width / self.acceleration)
        self._check(num_center, num_kept)
        columns = np.zeros(width)
        columns[_centre(width, num_center)] = 1
        outside, wanted = np.flatnonzero(columns == 0), num_kept - num_center
        if self.kind == "random":
            chosen = rng.permutation(len(outside))[:wanted]
        else:
            chosen = ((np.arange(wanted) + rng.random()) * len(outside) / max(wanted, 1)).astype(int)
        columns[outside[chosen]] = 1
        return np.broadcast_to(columns, (height, width))


class CartesianMask2D(_CartesianMask):
    """Keeps points of k-space: a fully sampled centre and others, uniform; round(H W / acceleration) in all.

    Parameters
    ----------
    acceleration
        Points over points kept, at least 1.
    center_fraction
        Side of the fully sampled centre as a fraction of each side of k-space.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a parameter is out of range, or the centre alone exceeds what the acceleration keeps.
    """

    def __init__(self, acceleration: float, center_fraction: float = 0.08, seed: int = 0) -> None:
        super().__init__(acceleration, center_fraction, seed)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        rows, columns = (_centre(n, round(self.center_fraction * n)) for n in (height, width))
        mask = np.zeros((height, width))
        mask[rows, columns] = 1
        num_center, num_kept = int(mask.sum()), round(height * width / self.acceleration)
        self._check(num_center, num_kept)
        outside = np.flatnonzero(mask == 0)
        mask.flat[rng.permutation(outside)[: num_kept - num_center]] = 1
        return mask


def _centre(length: int, count: int) -> slice:
    """Return the `count` samples around zero frequency, which sits at length // 2."""
    start = length // 2 - count // 2
    return slice(start, start + count)
