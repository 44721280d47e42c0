"""A prepared volume on disk: one HDF5 file with everything that restoration needs, a pure function of its source."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from alps_exp.files import checksum, text_checksum, write_atomically
from alps_exp.mri.fourier import Array
from alps_exp.mri.kspace import HDF5File, KSpaceError
from alps_exp.mri.truth import TruthCheck

CHECKSUM = "checksum"
ARRAYS = ("kspace", "sensitivity_maps", "mask", "image", "target", "target_weight", "source_scale")


@dataclass
class PreparedVolume:
    """k-space without readout oversampling, whitened and scaled, with the maps and images computed from it.

    Attributes
    ----------
    kspace : Array
        (slices, coils, H, W) complex64, 0 where nothing is measured.
    sensitivity_maps : Array
        (slices, coils, H', W') complex64, of the size of k-space, or larger if the object exceeds the field of view.
    image : Array or None
        Coil-combined images (slices, 1, H', W') complex64 of fully sampled slices, the largest magnitude of the volume
        in their center 1, and zeros for the others; None if no slice is fully sampled.
    source_scale : Array
        (slices, H', W') float32: times it, images have the values of the source, see
        `alps_exp.mri.coil_images.source_scale`.
    checks : list of TruthCheck or None
        How well each image explains its k-space; None where there is no image, or a single coil.
    target, target_weight : Array or None
        Images and weights of an `RSSTarget`; None if the source brings no target of these images.
    has_image : list of bool
        Whether each slice is fully sampled.
    mask : Array
        Where k-space is measured, (slices, H, W) bool.
    scale : float
        Factor by which the whitened k-space was divided.
    noise_std : float
        Standard deviation of the noise in the real and in the imaginary part of `kspace` each.
    recon_shape : tuple of int
        (H, W) of the center of the images in which reconstructions are compared.
    voxel_size : tuple of float or None
        See `alps_exp.mri.kspace.KSpaceVolume`.
    slices : list of int
        Number of each slice in the source.
    hashes : list of str
        SHA-256 of the stored k-space of each slice.
    remarks : list of str
        What a reader should know: the noise and how it was found, coils and slices left out, unsound truths.
    """

    kspace: Array
    sensitivity_maps: Array
    image: Array | None
    target: Array | None
    target_weight: Array | None
    source_scale: Array
    checks: list[TruthCheck | None]
    has_image: list[bool]
    mask: Array
    scale: float
    noise_std: float
    recon_shape: tuple[int, int]
    voxel_size: tuple[float, float, float] | None
    slices: list[int]
    hashes: list[str]
    remarks: list[str]


def write_prepared_volume(
    path: Path, volume: PreparedVolume, settings: Mapping[str, object], source_sha256: str
) -> None:
    """Write a volume atomically, with a checksum of each slice and of all attributes.

    The same volume gives the same bytes. `source_sha256` is the hash of the file that it was prepared from.
    """
    arrays = {name: array for name in ARRAYS if (array := getattr(volume, name)) is not None}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["settings"] = json.dumps(settings, sort_keys=True)
        file.attrs["source_sha256"] = source_sha256
        file.attrs["scale"], file.attrs["noise_std"] = volume.scale, volume.noise_std
        file.attrs["recon_shape"] = volume.recon_shape
        if volume.voxel_size is not None:
            file.attrs["voxel_size"] = volume.voxel_size
        file.attrs["hashes"], file.attrs["slices"] = volume.hashes, volume.slices
        file.attrs["has_image"], file.attrs["remarks"] = volume.has_image, json.dumps(volume.remarks)
        file.attrs["checks"] = json.dumps([check and asdict(check) for check in volume.checks])
        sums = {name: [checksum(one_slice) for one_slice in array] for name, array in arrays.items()}
        file.attrs["checksums"] = json.dumps(sums)
        file.attrs[CHECKSUM] = _checksum_of(dict(file.attrs))
        for name, array in arrays.items():
            file.create_dataset(name, data=array, chunks=(1, *array.shape[1:]), track_times=False)
    write_atomically(path, buffer.getvalue())


def _checksum_of(attributes: Mapping[str, object]) -> str:
    """Return the checksum of all other attributes, as they are read from a file."""
    values = {name: np.asarray(value).tolist() for name, value in attributes.items() if name != CHECKSUM}
    return text_checksum(json.dumps(values, sort_keys=True))


class PreparedVolumeFile:
    """A prepared file, read slice by slice; every process opens it on its own.

    Raises
    ------
    KSpaceError
        If the file is damaged or is not a prepared file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_symlink():
            raise KSpaceError(f"{path} is a link, expected the prepared file itself")
        self._file = HDF5File(path)
        attributes = self._file.attributes
        try:
            self.checksum = str(attributes[CHECKSUM])
            is_intact = self.checksum == _checksum_of(attributes)
            self.settings: dict[str, object] = json.loads(attributes["settings"])
            self.source_sha256 = str(attributes["source_sha256"])
            self.scale, self.noise_std = float(attributes["scale"]), float(attributes["noise_std"])
            self.recon_shape = tuple(map(int, attributes["recon_shape"]))
            self.voxel_size = [float(size) for size in attributes.get("voxel_size", ())] or None
            self.hashes = list(map(str, attributes["hashes"]))
            self.slices = list(map(int, attributes["slices"]))
            self.has_image = list(map(bool, attributes["has_image"]))
            self.remarks: list[str] = json.loads(attributes["remarks"])
            self.checks = [check and TruthCheck(**check) for check in json.loads(attributes["checks"])]
            sums = json.loads(attributes["checksums"])
            self._checksums: dict[str, list[str]] = {str(name): list(each) for name, each in sums.items()}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise KSpaceError(f"{path} was not prepared by this version ({reason}): prepare it again") from error
        if not is_intact:
            raise KSpaceError(f"{path} is damaged: prepare it again")
        self.shape: tuple[int, ...] = self._file["kspace"].shape
        described = [len(self.hashes), len(self.slices), len(self.has_image), len(self.checks)]
        described += [len(sums) for sums in self._checksums.values()]
        if not self.shape or set(described) != {self.shape[0]} or "kspace" not in self._checksums:
            raise KSpaceError(f"{path} does not describe each of its slices: prepare it again")
        self.has_target = "target" in self._checksums
        self.has_source_scale = "source_scale" in self._checksums  # files of earlier versions have none

    def read(self, name: str, index: int) -> Array:
        """Return one of `ARRAYS` of the slice at a position; raises KSpaceError if it is damaged."""
        found = np.asarray(self._file.read(name, index))
        if name not in self._checksums or checksum(found) != self._checksums[name][index]:
            raise KSpaceError(f"{name} in {self.path} is damaged: prepare it again, with verify=true")
        return found

    def verify(self) -> None:
        """Read all arrays; raises KSpaceError if one of them is damaged."""
        for name, sums in self._checksums.items():
            for index in range(len(sums)):
                self.read(name, index)
