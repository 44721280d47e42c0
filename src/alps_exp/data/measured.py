"""Measured k-space as a dataset, and what operators take from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from alps_exp.data.kspace import KSpaceError
from alps_exp.data.preparation import INDEX, VOLUMES
from alps_exp.data.sidecar import Sidecar


class PreparedSlices(Dataset[dict[str, Any]]):
    """The slices of volumes that `alps data` prepared, in the order of the volumes' names.

    An item is ``image_id``, ``image`` (1, H, W) complex64 where k-space is fully sampled and, of measured data,
    ``measurement`` and ``sensitivity_maps`` (coils, H, W) complex64, ``mask`` (1, H, W) float32 and ``noise_std``.
    Volumes differ in size and noise: a batch must not mix such.

    Parameters
    ----------
    path
        The prepared folder.
    measured
        Whether items hold the measurement and what belongs to it; otherwise the image alone, to simulate from.

    Raises
    ------
    FileNotFoundError
        On first use, where nothing is prepared.
    KSpaceError
        Where a volume is damaged, has no image to simulate from, or slices of a batch do not fit each other.
    """

    channels = 2

    def __init__(self, path: str, measured: bool = True) -> None:
        self.path, self.measured = Path(path), measured

    @cached_property
    def index(self) -> list[str]:
        """A line for each slice, which changes with its k-space, and one with how they were prepared."""
        return [*self._lines, *sorted({repr(s.settings) for s in self._sidecars.values()})]

    @cached_property
    def slices(self) -> list[tuple[str, int]]:
        """Volume and slice of each item."""
        return [(name, i) for name, sidecar in self._sidecars.items() for i in range(len(sidecar.hashes))]

    @property
    def image_ids(self) -> list[str]:
        """Id of each item."""
        return [f"{name}_{index:03d}" for name, index in self.slices]

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        name, index = self.slices[position]
        sidecar, item = self._sidecars[name], {"image_id": self.image_ids[position]}
        if sidecar.has_image:
            item["image"] = torch.from_numpy(sidecar.read("image", index))
        elif not self.measured:
            raise KSpaceError(f"{sidecar.path} is undersampled: there is no image to simulate from")
        if self.measured:
            item["measurement"] = torch.from_numpy(sidecar.read("kspace", index))
            item["sensitivity_maps"] = torch.from_numpy(sidecar.read("sensitivity_maps", index))
            item["mask"] = torch.from_numpy(sidecar.mask)[None].float()
            item["noise_std"] = sidecar.noise_std
        return item

    def __getitems__(self, positions: list[int]) -> list[dict[str, Any]]:
        """Return the items of a batch."""
        items = [self[position] for position in positions]
        if len({_kind(item) for item in items}) > 1:
            names = ", ".join(sorted({self.slices[position][0] for position in positions}))
            raise KSpaceError(f"a batch of slices of {names} mixes sizes, coils or truth: take data.batch_size=1")
        return items

    @cached_property
    def _sidecars(self) -> dict[str, Sidecar]:
        if not (self.path / INDEX).is_file():
            raise FileNotFoundError(f"no prepared k-space in {self.path}: run `alps data output={self.path}` first")
        files = sorted((self.path / VOLUMES).glob("[!.]*.h5"))
        return {file.stem: Sidecar(file) for file in files}

    @property
    def _lines(self) -> list[str]:
        hashes = [digest for sidecar in self._sidecars.values() for digest in sidecar.hashes]
        return [f"{image_id} {digest}" for image_id, digest in zip(self.image_ids, hashes, strict=True)]


def _kind(item: dict[str, Any]) -> tuple[Any, ...]:
    return tuple((name, tuple(x.shape)) for name, x in item.items() if isinstance(x, Tensor))


class DataMaps:
    """The sensitivity maps of the data: called with a batch, (B, coils, H, W)."""

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Return the maps of a batch."""
        return _of(batch, "sensitivity_maps")


class DataMask:
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


class DataNoise:
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
