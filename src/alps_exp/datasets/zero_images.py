"""Images of zeros as placeholders, with the size of images that will be drawn later."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from alps_exp.batch import ImageDataset, Item
from alps_exp.checks import check_count
from alps_exp.datasets.batches import WithUnreadable
from alps_exp.errors import ImageError


class ZeroImages(Dataset[Item]):
    """`count` images of zeros with the size, dtype and channels of the first readable image of a dataset.

    Parameters
    ----------
    dataset
        Images of the wanted size.
    count
        Number of images, at least 1.

    Raises
    ------
    ValueError
        If count is below 1.
    ImageError
        If no image can be read.
    """

    def __init__(self, dataset: ImageDataset, count: int) -> None:
        check_count("count", count)
        items = map(WithUnreadable(dataset).__getitem__, range(len(dataset)))
        readable = next((item for item in items if "image" in item), None)
        if readable is None:
            raise ImageError("none of the images of this data choice can be read, so their size is not known")
        self.image, self.count, self.channels = torch.zeros_like(readable["image"]), count, dataset.channels
        self.image_ids = self.index = [f"draw{index:04d}" for index in range(count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        return {"image": self.image, "image_id": self.image_ids[index]}
