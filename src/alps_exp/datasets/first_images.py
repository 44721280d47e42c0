"""The first images of a dataset."""

from __future__ import annotations

from torch.utils.data import Dataset

from alps_exp.batch import ImageDataset, Item


class FirstImages(Dataset[Item]):
    """The first `count` images of a dataset, with the lines of its index that concern all images.

    Parameters
    ----------
    dataset
        The dataset.
    count
        Number of images, from 1 to the length of the dataset.

    Raises
    ------
    ValueError
        If the dataset has fewer images, or count is below 1.
    IndexError
        If an index is not below count.
    """

    def __init__(self, dataset: ImageDataset, count: int) -> None:
        if not 1 <= count <= len(dataset):
            raise ValueError(f"count must be from 1 to {len(dataset)}, the images of this data choice, got {count}")
        self.dataset, self.channels, self.image_ids = dataset, dataset.channels, dataset.image_ids[:count]
        self.index = [*dataset.index[:count], *dataset.index[len(dataset) :]]

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Item:
        if index >= len(self):
            raise IndexError(f"there are {len(self)} images, got index {index}")
        return self.dataset[index]
