"""Images drawn from a prior whose samples are known exactly."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from alps_exp.batch import Item
from alps_exp.checks import check_count
from alps_exp.randomness import numpy_generator


@runtime_checkable
class Samplable(Protocol):
    """A prior from which images can be drawn."""

    @property
    def channels(self) -> int:
        """Number of real channels of the images."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return independent images (count, C, H, W)."""


class PriorSamples(Dataset[Item]):
    """Independent images of a prior; image i is a function of seed and i alone.

    An item is ``image`` (C, H, W), of the prior's dtype, and ``image_id``.

    Parameters
    ----------
    prior
        Prior from which the images are drawn, on the CPU.
    count
        Number of images.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        If the prior cannot draw images, or count is below 1.
    """

    def __init__(self, prior: Samplable, count: int = 16, seed: int = 0) -> None:
        if not isinstance(prior, Samplable):
            raise ValueError(f"expected a prior that can draw images, as a closed form, got a {type(prior).__name__}")
        check_count("count", count)
        self.prior, self.seed = prior, seed
        self.channels = prior.channels
        self.image_ids = [f"prior{index:04d}" for index in range(count)]

    @property
    def index(self) -> list[str]:
        """One line per item, which changes with it: id and seed."""
        return [f"{image_id} {self.seed}" for image_id in self.image_ids]

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Item:
        image_id = self.image_ids[index]
        seed = int(numpy_generator(self.seed, image_id).integers(2**63))
        image = self.prior.sample(1, torch.Generator().manual_seed(seed))[0]
        return {"image": image, "image_id": image_id}
