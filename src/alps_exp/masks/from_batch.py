"""Operator parameters taken from measured data: masks, coil sensitivity maps and the noise level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from alps_exp.batch import Batch


class MapsFromBatch:
    """The sensitivity maps of the data; called with a batch, returns (B, coils, H, W)."""

    def __call__(self, batch: Batch) -> Tensor:
        """Return the maps of a batch."""
        return _entry(batch, "sensitivity_maps")


class MaskFromBatch:
    """The sampling mask of the data, optionally undersampled further; called with a batch, returns (B, 1, H, W).

    Parameters
    ----------
    within
        A mask for retrospective undersampling; None keeps all measured samples.
    """

    def __init__(self, within: Callable[[Batch], Tensor] | None = None) -> None:
        self.within = within

    def __call__(self, batch: Batch) -> Tensor:
        """Return the masks of a batch."""
        mask = _entry(batch, "mask")
        return mask if self.within is None else mask * self.within({**batch, "image": mask})


class NoiseFromBatch:
    """The noise level of the data; called with a batch, returns one number for all its images.

    Raises
    ------
    ValueError
        When called, if the noise level differs between the images of the batch.
    """

    def __call__(self, batch: Batch) -> float:
        """Return the standard deviation of the noise of a batch."""
        levels: set[float] = set(_entry(batch, "noise_std").tolist())
        if len(levels) > 1:
            raise ValueError(f"the images of a batch differ in noise_std ({sorted(levels)}): use data.batch_size=1")
        return levels.pop()


def _entry(batch: Batch, name: Literal["sensitivity_maps", "mask", "noise_std"]) -> Tensor:
    if name not in batch:
        raise ValueError(f"this data choice has no {name}, which the operator takes from the data")
    return batch[name]
