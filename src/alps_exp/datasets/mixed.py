"""Several datasets combined into one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

from torch.utils.data import Dataset

from alps_exp.batch import Item, KeyedIndex, TrainingImages, split_index


class MixedDataset(Dataset[Item]):
    """Datasets concatenated, or mixed in given proportions.

    Parameters
    ----------
    datasets
        Datasets of the same kind of image; keys are passed on to them.
    shares
        Relative share of each dataset in an epoch. An epoch is long enough to show every image of every dataset at
        least once; smaller datasets repeat with other keys. None: every image once.

    Raises
    ------
    ValueError
        If the numbers of channels differ, or shares are not one positive number per dataset.
    """

    def __init__(self, datasets: Sequence[TrainingImages], shares: Sequence[float] | None = None) -> None:
        channels = sorted({dataset.channels for dataset in datasets})
        if len(channels) != 1:
            raise ValueError(f"a mixture needs datasets of one number of channels, got {channels}")
        if shares is not None and (len(shares) != len(datasets) or min(shares) <= 0):
            raise ValueError(f"shares must be {len(datasets)} positive numbers, got {list(shares)}")
        self.datasets = list(datasets)
        self.shares = None if shares is None else [share / sum(shares) for share in shares]
        self.channels: int = channels[0]

    @property
    def index(self) -> list[str]:
        """The lines of the datasets' indices, concatenated."""
        return [line for dataset in self.datasets for line in dataset.index]

    @cached_property
    def ends(self) -> list[int]:
        """End position (exclusive) of each dataset."""
        lengths = [len(dataset) for dataset in self.datasets]
        if self.shares is not None:
            total = max(length / share for length, share in zip(lengths, self.shares, strict=True))
            lengths = [round(total * share) for share in self.shares]
        return list(accumulate(lengths))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, item: KeyedIndex) -> Item:
        index, key = split_index(item)
        which = next(i for i, end in enumerate(self.ends) if index < end)
        local = (index - (self.ends[which - 1] if which else 0)) % len(self.datasets[which])
        return self.datasets[which][local if key is None else (local, key)]
