"""The first images of a dataset."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Subset


class FirstImages(Subset[dict[str, Any]]):
    """The first `count` images of a dataset, with the lines of its index that concern all images.

    Raises
    ------
    ValueError
        If the dataset has fewer images, or count is below 1.
    """

    def __init__(self, dataset: Any, count: int) -> None:
        if not 1 <= count <= len(dataset):
            raise ValueError(f"count must be from 1 to {len(dataset)}, the images of this data choice, got {count}")
        super().__init__(dataset, range(count))
        self.channels, self.image_ids = dataset.channels, dataset.image_ids[:count]
        self.index = [*dataset.index[:count], *dataset.index[len(dataset) :]]
