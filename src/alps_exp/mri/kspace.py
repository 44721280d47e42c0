"""k-space volumes: the interface of all readers, and the reader of plain arrays with named axes."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from alps_exp.errors import ImageError, SettingError, one_line
from alps_exp.files import open_hdf5
from alps_exp.foreign_files import own_dataset, read_npy
from alps_exp.mri.fourier import Array, crop_readout

AXES = ("slice", "coil", "row", "column")
RSS = "reconstruction_rss"


class KSpaceError(ImageError):
    """A k-space file cannot be read completely, or is not what the request assumes."""


class HDF5File:
    """An HDF5 file that each process opens on first use, so that workers never share a handle.

    HDF5 handles do not survive a fork: the parent and its workers would read through the same file offset.

    Raises
    ------
    KSpaceError
        On use, if the file cannot be opened (because it is truncated or empty, say) or lacks a dataset.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, h5py.File] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_opened": None}

    def __contains__(self, name: str) -> bool:
        return self._file.get(name, getlink=True) is not None

    def __getitem__(self, name: str) -> h5py.Dataset:
        file = self._file
        try:
            return own_dataset(file, name)
        except KeyError as error:
            raise KSpaceError(f"no dataset {name!r} in {self.path}") from error
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise unreadable(self.path, error) from error

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the file."""
        try:
            return dict(self._file.attrs)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise unreadable(self.path, error) from error

    def read(self, name: str, where: int | tuple[int | slice, ...] = ()) -> Array:
        """Return (a part of) a dataset."""
        try:
            found: Array = self[name][where]
        except KSpaceError:
            raise
        except (IndexError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise unreadable(self.path, error) from error
        return found

    @property
    def _file(self) -> h5py.File:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = os.getpid(), open_hdf5(self.path)
            except (OSError, RuntimeError) as error:
                raise unreadable(self.path, error) from error
        return self._opened[1]


class KSpaceVolume(ABC):
    """The k-space of a volume, read slice by slice.

    Zero frequency is at H // 2, W // 2. Samples that were not measured are zero in all coils.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        (slices, coils, rows, columns) as stored.
    image_shape : tuple of int
        (H, W) of the images: rows without readout oversampling, columns as stored.
    recon_shape : tuple of int
        (H, W) of the central region of the images in which reconstructions are compared.
    voxel_size : tuple of float or None
        From one row of the images to the next, from one column to the next, and the thickness of a slice, in mm. None:
        the file does not say. The gap between slices, orientation and position are in none of these files.
    """

    path: Path
    shape: tuple[int, int, int, int]
    image_shape: tuple[int, int]
    recon_shape: tuple[int, int]
    voxel_size: tuple[float, float, float] | None = None

    @abstractmethod
    def read(self, index: int) -> Array:
        """Return the k-space of a slice as stored, (coils, rows, columns) complex64."""

    def noise_scan(self, name: str) -> Array:
        """Return a noise scan stored with the k-space, (coils, samples) complex.

        Raises
        ------
        KSpaceError
            If there is no noise scan of that name.
        """
        raise KSpaceError(f"{self.path} has no noise scan {name!r}")

    @property
    def target(self) -> Array | None:
        """The root-sum-of-squares images (slices, h, w) that the file brings; None if it has none."""
        return None

    def slice(self, index: int) -> Array:
        """Return the k-space of a slice without readout oversampling, (coils, H, W) complex64; raises as `crop`."""
        return self.crop(self.read(index))

    def crop(self, stored: Array) -> Array:
        """Remove the readout oversampling from the stored k-space of a slice; returns (coils, H, W).

        Raises
        ------
        KSpaceError
            If there is oversampling and a column is only partly measured: the crop, a convolution along the readout,
            would smear its samples over all rows.
        """
        measured, rows = (stored != 0).any(0), stored.shape[-2]
        if rows != self.image_shape[0] and (measured.any(0) & ~measured.all(0)).any():
            raise KSpaceError(
                f"{self.path} has {_rows_found(measured)}, and its readout cannot be cropped to "
                f"{self.image_shape[0]} rows without all of them: give reader=arrays, which keeps all {rows} rows"
            )
        return crop_readout(stored, self.image_shape[0])

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"{self.path} has {self.shape[0]} slices, got index {index}")


class ArrayVolume(KSpaceVolume):
    """k-space in an array with named axes: a ``.npy`` file, or a dataset of an HDF5 file, which MATLAB's v7.3 are too.

    Parameters
    ----------
    path
        The file.
    axes
        Names of the axes in the order of the array: ``coil``, ``row``, ``column`` and, for several slices, ``slice``,
        which an array of three axes goes without. MATLAB stores its arrays with the axes in reverse order.
    dataset
        Name of the dataset in an HDF5 file.

    Raises
    ------
    SettingError
        If `axes` are not these names.
    KSpaceError
        If the file cannot be read, or does not hold a complex array with that number of axes.
    """

    def __init__(self, path: str | Path, /, axes: Sequence[str] = AXES, dataset: str = "kspace") -> None:
        if sorted(axes) not in (sorted(AXES), sorted(AXES[1:])):
            named = f"{', '.join(AXES)} in any order (slice may be left out)"
            raise SettingError(f"reader.axes is {list(axes)}, expected {named}")
        self.path, self.axes, self.dataset = Path(path), tuple(axes), dataset
        self._file = None if self.path.suffix == ".npy" else HDF5File(self.path)
        stored = self._array()
        if stored.ndim == len(self.axes) - 1:
            self.axes = tuple(axis for axis in self.axes if axis != "slice")
        check_complex(self.path, stored, len(self.axes))
        sizes = dict(zip(self.axes, stored.shape, strict=True)) | ({} if "slice" in self.axes else {"slice": 1})
        self.shape = (sizes["slice"], sizes["coil"], sizes["row"], sizes["column"])
        self.image_shape = self.recon_shape = self.shape[2:]

    def read(self, index: int) -> Array:
        """Return the k-space of a slice, (coils, rows, columns) complex64."""
        self._check_index(index)
        where = tuple(index if axis == "slice" else slice(None) for axis in self.axes)
        found = self._array()[where] if self._file is None else self._file.read(self.dataset, where)
        if found.dtype.names:
            found = found["real"] + 1j * found["imag"]
        left = [axis for axis in self.axes if axis != "slice"]
        return np.ascontiguousarray(found.transpose([left.index(axis) for axis in AXES[1:]]), dtype=np.complex64)

    @property
    def target(self) -> Array | None:
        """The dataset ``reconstruction_rss`` (slices, h, w) of an HDF5 file; None if it has none."""
        if self._file is None or RSS not in self._file:
            return None
        return self._file.read(RSS)

    def noise_scan(self, name: str) -> Array:
        """Return a dataset of an HDF5 file as noise, (coils, samples) complex."""
        if self._file is None:
            return super().noise_scan(name)
        return self._file.read(name)

    def _array(self) -> h5py.Dataset | Array:
        if self._file is not None:
            return self._file[self.dataset]
        try:
            return read_npy(self.path)
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error


def check_complex(path: Path, stored: h5py.Dataset | Array, num_axes: int) -> None:
    """Raise KSpaceError unless an array is complex (or of MATLAB's pairs) with `num_axes` non-empty axes."""
    is_complex = stored.dtype.kind == "c" or stored.dtype.names == ("real", "imag")
    if not is_complex or stored.ndim != num_axes or 0 in stored.shape:
        two_parts = stored.dtype.kind == "f" and stored.shape[-1:] == (2,)
        cure = ": store kspace[..., 0] + 1j * kspace[..., 1]" if two_parts else ""
        got = f"{stored.dtype} with shape {stored.shape}{cure}"
        raise KSpaceError(f"k-space in {path} must be complex with {num_axes} axes, got {got}")


def unreadable(path: Path, error: Exception) -> KSpaceError:
    """Return the error for a file that cannot be read."""
    return KSpaceError(f"unreadable k-space file {path}: {one_line(error)}")


def _rows_found(measured: Array) -> str:
    """Describe how the columns of k-space (rows, columns) bool are partly measured."""
    found = np.flatnonzero(measured.any(1))
    before, after = found[0], len(measured) - 1 - found[-1]
    if (measured == np.outer(measured.any(1), measured.any(0))).all() and before + len(found) + after == len(measured):
        return f"zeros in {before} + {after} of {len(measured)} readout rows"
    return "zeros in the readout of measured columns"
