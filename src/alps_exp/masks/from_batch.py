"""What operators take from measured data: masks, coil maps and the noise level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


class MapsFromBatch:
    """The sensitivity maps of the data: called with a batch, (B, coils, H, W)."""

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Return the maps of a batch."""
        return _of(batch, "sensitivity_maps")


class MaskFromBatch:
    """Where the data were measured, and of that what another mask keeps: called with a batch, (B, 1, H, W).

    Parameters
    ----------
    within
        A mask that undersamples in retrospect; None keeps everything.
    """

    def __init__(self, within: Callable[[dict[str, Any]], Tensor] | None = None) -> None:
        self.within = within

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Return the masks of a batch."""
        mask = _of(batch, "mask")
        return mask if self.within is None else mask * self.within({**batch, "image": mask})


class NoiseFromBatch:
    """The noise level of the data: called with a batch, one number for all its images.

    Raises
    ------
    ValueError
        Where the images of a batch differ in it.
    """

    def __call__(self, batch: dict[str, Any]) -> float:
        """Return the standard deviation of the noise of a batch."""
        values = set(_of(batch, "noise_std").tolist())
        if len(values) > 1:
            raise ValueError(f"the images of a batch differ in noise_std ({sorted(values)}): take data.batch_size=1")
        return values.pop()


def _of(batch: dict[str, Any], name: str) -> Tensor:
    if name not in batch:
        raise ValueError(f"this data choice has no {name}, which the operator takes from the data")
    return batch[name]
