"""Measured k-space as a dataset, and what operators take from it."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from math import nan
from pathlib import Path

import torch
from torch.utils.data import Dataset

from alps_exp.batch import Item
from alps_exp.checks import positive
from alps_exp.files import file_name
from alps_exp.foreign_files import read_bytes
from alps_exp.mri.kspace import KSpaceError
from alps_exp.mri.preparation import INDEX, VOLUMES
from alps_exp.mri.prepared_volume import PreparedVolumeFile
from alps_exp.source import SourceSlice

LONGEST_NAME = 1_000  # characters of the name of a volume


class PreparedSlices(Dataset[Item]):
    """The slices of volumes that `alps prepare` prepared, in the order of its index.

    An item is ``image_id``, ``crop`` (2,) int64, the center in which reconstructions are compared, ``image`` (1, H, W)
    complex64 where k-space is fully sampled, with the numbers of its `TruthCheck`, and, of measured data,
    ``measurement`` and ``sensitivity_maps`` (coils, H, W) complex64, ``mask`` (1, H, W) float32 and ``noise_std``, and,
    if the source brings a target, ``target`` (1, h, w) and ``target_weight`` (1, H, W) float32, see `RSSTarget`.
    ``volume`` and ``volume_slices`` are the name of the item's volume and its number of slices, ``source_slice`` says
    more.
    Volumes can differ in size and noise level; a batch must not mix them.

    Parameters
    ----------
    path
        The prepared folder.
    measured
        Whether items hold the measurement with maps, mask and noise level; otherwise only the image, for simulation.
    noise_std
        Standard deviation of the noise in real and imaginary part each, to be taken in place of the prepared one; in
        the units of prepared k-space, as in records. None: the prepared one.

    Raises
    ------
    ValueError
        If `noise_std` is not positive.
    FileNotFoundError
        On first use, if nothing is prepared.
    KSpaceError
        If the volume of an item is damaged, does not match the index, or has no image to simulate from; on first use,
        if no volume has one.
    """

    channels = 2

    def __init__(self, path: str, measured: bool = True, noise_std: float | None = None) -> None:
        self.path, self.measured = Path(path), measured
        self.noise_std = None if noise_std is None else positive("noise_std", noise_std)
        self._files: dict[str, PreparedVolumeFile] = {}

    @cached_property
    def index(self) -> list[str]:
        """One line per slice, which changes with its k-space, and one per volume, which changes with all of it."""
        digests = [digest for hashes in self._hashes.values() for digest in hashes.values()]
        lines = [f"{image_id} {digest}" for image_id, digest in zip(self.image_ids, digests, strict=True)]
        return [*lines, *(volume_file.checksum for volume_file in self._readable())]

    @cached_property
    def slices(self) -> list[tuple[str, int]]:
        """Volume and slice of each item."""
        if not self.measured and (volumes := self._readable()) and not any(any(v.has_image) for v in volumes):
            raise KSpaceError(f"all volumes in {self.path} are undersampled: there is no image to simulate from")
        return [(name, index) for name, hashes in self._hashes.items() for index in hashes]

    @property
    def has_truth(self) -> bool:
        """Whether there are readable items and all of them have an image."""
        volumes = self._readable()
        return bool(volumes) and all(all(volume_file.has_image) for volume_file in volumes)

    @property
    def image_ids(self) -> list[str]:
        """Id of each item."""
        return [f"{name}_{index:03d}" for name, index in self.slices]

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, position: int) -> Item:
        name, number = self.slices[position]
        volume_file = self._file_of(name)
        index = volume_file.slices.index(number)
        item: Item = {"image_id": self.image_ids[position], "crop": torch.tensor(volume_file.recon_shape)}
        item["volume"], item["volume_slices"] = name, len(volume_file.slices)
        scale = volume_file.read("source_scale", index)[None] if volume_file.has_source_scale else None
        item["source_slice"] = SourceSlice(name, number, volume_file.slices, scale, volume_file.voxel_size)
        if volume_file.has_image[index]:
            check = volume_file.checks[index]
            item["image"] = torch.from_numpy(volume_file.read("image", index))
            item["truth_misfit"], item["truth_residual"] = (check.misfit, check.residual) if check else (nan, nan)
            item["truth_sound"] = check is None or check.is_sound
        elif not self.measured:
            place = f"slice {number} of {volume_file.path}"
            raise KSpaceError(f"{place} is undersampled: there is no image to simulate from")
        if self.measured:
            item["measurement"] = torch.from_numpy(volume_file.read("kspace", index))
            item["sensitivity_maps"] = torch.from_numpy(volume_file.read("sensitivity_maps", index))
            item["mask"] = torch.from_numpy(volume_file.read("mask", index))[None].float()
            item["noise_std"] = self.noise_std or volume_file.noise_std
            if self.noise_std:
                item["prepared_noise_std"] = volume_file.noise_std
        if self.measured and volume_file.has_target:
            item["target"] = torch.from_numpy(volume_file.read("target", index))[None]
            item["target_weight"] = torch.from_numpy(volume_file.read("target_weight", index))[None]
        return item

    @cached_property
    def _hashes(self) -> dict[str, dict[int, str]]:
        """The index: the hash of the k-space of every slice, by volume."""
        index = self.path / INDEX
        if not index.is_file() or not (lines := read_bytes(index).decode(errors="replace").splitlines()):
            raise FileNotFoundError(f"no prepared k-space in {self.path}: run `alps prepare output={self.path}` first")
        hashes: dict[str, dict[int, str]] = {}
        try:
            for line in map(json.loads, lines):
                name, number, digest = line["volume"], line["slice"], line["sha256"]
                if not isinstance(name, str) or len(name) > LONGEST_NAME or not isinstance(number, int):
                    raise ValueError("a volume has no name, or a slice no number")
                hashes.setdefault(name, {})[number] = digest
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{index} is damaged: run `alps prepare output={self.path}` again") from error
        return hashes

    def _file_of(self, name: str) -> PreparedVolumeFile:
        if name not in self._files:
            volume_file = PreparedVolumeFile(self.path / VOLUMES / file_name(name, ".h5"))
            if dict(zip(volume_file.slices, volume_file.hashes, strict=True)) != self._hashes[name]:
                raise KSpaceError(f"{name} in {self.path} is not what the index says: run `alps prepare` again")
            self._files[name] = volume_file
        return self._files[name]

    def _readable(self) -> list[PreparedVolumeFile]:
        """Return the readable volumes; the slices of the others will raise when they are read."""
        readable = []
        for name in self._hashes:
            with suppress(KSpaceError):
                readable.append(self._file_of(name))
        return readable
