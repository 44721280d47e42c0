"""The embedded k-space: a real slice, undersampled as it was measured, from the tutorial of sigpy (BSD-3)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from alps_exp.batch import Item
from alps_exp.checks import positive
from alps_exp.files import file_hash
from alps_exp.mri.fourier import Array
from alps_exp.mri.kspace import KSpaceVolume
from alps_exp.mri.preparation import PreparationSettings, prepare
from alps_exp.mri.prepared_volume import PreparedVolume
from alps_exp.mri.sensitivity import MapEstimator
from alps_exp.source import SourceSlice

FILE = Path(__file__).parent / "example" / "kspace.npz"


class _Example(KSpaceVolume):
    """The file of the slice as a volume."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with np.load(path) as stored:
            self._kspace = np.zeros((len(stored["samples"]), *stored["mask"].shape), np.complex64)
            self._kspace[:, stored["mask"]] = stored["samples"]
        self.shape = (1, *self._kspace.shape)
        self.image_shape = self.recon_shape = self.shape[2:]

    def read(self, index: int) -> Array:
        """Return the k-space of the slice, (coils, H, W) complex64."""
        self._check_index(index)
        return self._kspace


class ExampleSlice(Dataset[Item]):
    """One real slice of a brain, 230 x 180 with 8 coils, measured at 12 % of the points of k-space; there is no truth.

    Its item is that of measured k-space, see `PreparedSlices`, prepared as `alps prepare` does.

    Parameters
    ----------
    maps
        Estimates the sensitivity maps.
    noise_std
        A noise level in place of the estimated one, as in `PreparedSlices`.

    Raises
    ------
    ValueError
        If `noise_std` is not positive.
    IndexError
        If the index is not 0.
    """

    channels = 2
    image_ids = ["kspace_example"]

    def __init__(self, maps: MapEstimator, noise_std: float | None = None) -> None:
        self.maps = maps
        self.noise_std = None if noise_std is None else positive("noise_std", noise_std)

    @property
    def index(self) -> list[str]:
        """Id and checksum of the slice, and how it is prepared."""
        return [f"{self.image_ids[0]} {file_hash(FILE)}", repr((type(self.maps).__name__, vars(self.maps)))]

    @cached_property
    def volume(self) -> PreparedVolume:
        """The prepared slice."""
        return prepare(_Example(FILE), PreparationSettings(_Example, self.maps, "auto", True, {}))

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Item:
        if index != 0:
            raise IndexError(f"there is one slice, index 0, got {index}")
        volume = self.volume
        item: Item = {
            "image_id": self.image_ids[0],
            "crop": torch.tensor(volume.recon_shape),
            "measurement": torch.from_numpy(volume.kspace[0]),
            "sensitivity_maps": torch.from_numpy(volume.sensitivity_maps[0]),
            "mask": torch.from_numpy(volume.mask[0])[None].float(),
            "noise_std": self.noise_std or volume.noise_std,
            "source_slice": SourceSlice(self.image_ids[0], 0, volume.slices, volume.source_scale),
        }
        if self.noise_std:
            item["prepared_noise_std"] = volume.noise_std
        return item
