"""Base class of sampling masks, which are keyed by image id and so independent of the batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from alps_exp.batch import Batch, of_image_size
from alps_exp.randomness import numpy_generator

Array = np.ndarray


Number = TypeVar("Number", int, float)


class Mask(ABC):
    """A rule that draws a sampling mask for each image of a batch.

    Called with a batch (``image`` (B, C, H, W) and ``image_id``, B strings) it returns (B, 1, H, W) float32
    on the image's device: 1 where a pixel or k-space sample is measured, 0 elsewhere. The mask of an image
    depends only on `seed`, image id, H and W. K-space masks have zero frequency at H // 2, W // 2.

    Parameters
    ----------
    seed
        Seed of the random masks.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, batch: Batch) -> Tensor:
        """Return the masks of a batch, (B, 1, H, W)."""
        image = of_image_size(batch)
        height, width = image.shape[-2:]
        masks = [self.draw(numpy_generator(self.seed, i), height, width) for i in batch["image_id"]]
        return torch.from_numpy(np.stack(masks)[:, None].astype(np.float32)).to(image.device)

    @abstractmethod
    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width) of zeros and ones."""


def range_of(name: str, value: Number | Sequence[Number]) -> tuple[Number, Number]:
    """Return (low, high), given a number or a pair."""
    if not isinstance(value, Sequence):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} must be a number or (low, high), got {list(value)}")
    return value[0], value[1]
