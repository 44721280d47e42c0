"""Multi-coil files of the fastMRI data set."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from alps_exp.mri.fourier import Array
from alps_exp.mri.kspace import AXES, RSS, HDF5File, KSpaceError, KSpaceVolume, check_complex

NAMESPACE = {"ismrmrd": "http://www.ismrm.org/ISMRMRD"}


class FastMRIVolume(KSpaceVolume):
    """A multi-coil volume of fastMRI (Zbontar et al., arXiv 1811.08839).

    The file holds ``kspace`` (slices, coils, rows, columns), or (slices, rows, columns) of a single coil, rows along
    the readout, and ``ismrmrd_header``. The header's reconstructed matrix says how much of the readout is kept (twice
    as much is stored) and in which center of the image reconstructions are compared.

    Parameters
    ----------
    path
        The HDF5 file.

    Raises
    ------
    KSpaceError
        If the file is truncated, empty, or not such a one.
    """

    def __init__(self, path: str | Path, /) -> None:
        self.path = Path(path)
        self._file = HDF5File(self.path)
        stored = self._file["kspace"]
        check_complex(self.path, stored, 3 if stored.ndim == 3 else 4)
        self.shape = stored.shape if stored.ndim == 4 else (stored.shape[0], 1, *stored.shape[1:])
        self.encoded_shape, reconstructed, fov = self._geometry()
        rows, columns = self.shape[2:]
        if rows != self.encoded_shape[0] == columns:
            raise KSpaceError(
                f"{self.path} has {rows} rows and {columns} columns, and the readout of its header has {columns}"
                " samples: give reader=arrays 'reader.axes=[slice,coil,column,row]'"
            )
        self.recon_shape = min(reconstructed[0], rows), min(reconstructed[1], columns)
        self.image_shape = self.recon_shape[0], columns
        if fov is not None:  # samples lie 1 / field of view apart, however many there are
            self.voxel_size = fov[0] / rows, fov[1] / columns, fov[2]

    @property
    def attributes(self) -> dict[str, object]:
        """What the file says of itself: ``acquisition``, ``max`` and ``norm`` of its target, ``patient_id``."""
        return self._file.attributes

    @property
    def target(self) -> Array | None:
        """The images ``reconstruction_rss`` (slices, h, w) float32; None in a challenge's file.

        Of a single coil they are ``reconstruction_esc``: ``reconstruction_rss`` is of the coils that it stands for.
        """
        name = "reconstruction_esc" if self._file["kspace"].ndim == 3 else RSS
        return self._file.read(name) if name in self._file else None

    def read(self, index: int) -> Array:
        """Return the k-space of a slice as stored, (coils, rows, columns) complex64."""
        self._check_index(index)
        found = self._file.read("kspace", index).astype("complex64", copy=False)
        return found if found.ndim == 3 else found[None]

    def _geometry(self) -> tuple[tuple[int, int], tuple[int, int], tuple[float, float, float] | None]:
        """Return the encoded and the reconstructed matrix (readout, phase encoding), and `encoded_fov`."""
        if "ismrmrd_header" not in self._file:
            raise KSpaceError(
                f"no ismrmrd_header in {self.path}, as fastMRI's files have: give reader=arrays, which takes the axes"
                f" {self.shape} for {', '.join(AXES)} unless reader.axes says otherwise"
            )
        try:
            header = _text(self._file.read("ismrmrd_header"))
            return *parse_header(header), encoded_fov(header)
        except ValueError as error:
            raise KSpaceError(f"ismrmrd_header in {self.path} is not usable: {error}") from error


def _text(stored: Array | bytes | str) -> str:
    """Return a text that is stored as text, bytes, an array of one of these, or an array of characters."""
    if isinstance(stored, np.ndarray):
        stored = stored.tobytes() if stored.dtype == np.uint8 else stored.item()
    return stored.decode() if isinstance(stored, bytes) else str(stored)


def parse_header(text: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the encoded and the reconstructed matrix (readout x, phase encoding y) of an ISMRMRD header.

    Raises
    ------
    ValueError
        If the text is no XML, declares a document type (whose entities could expand without end), or has no such
        matrices.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type, which no ISMRMRD header does")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML ({error})") from error
    encoded, reconstructed = (_matrix(root, space) for space in ("encodedSpace", "reconSpace"))
    return encoded, reconstructed


def encoded_fov(text: str) -> tuple[float, float, float] | None:
    """Return the encoded field of view (readout x, phase encoding y, one slice) in mm of a header; None if unknown.

    The header must be one that `parse_header` takes.
    """
    root, space = ElementTree.fromstring(text), "ismrmrd:encoding/ismrmrd:encodedSpace/ismrmrd:"
    names = [*(f"fieldOfView_mm/ismrmrd:{axis}" for axis in "xyz"), "matrixSize/ismrmrd:z"]
    try:
        x, y, z, slices = (float(root.findtext(space + name, "", NAMESPACE)) for name in names)
    except ValueError:
        return None
    known = all(math.isfinite(size) and size > 0 for size in (x, y, z, slices))
    return (x, y, z / slices) if known else None


def _matrix(root: ElementTree.Element, space: str) -> tuple[int, int]:
    path = f"ismrmrd:encoding/ismrmrd:{space}/ismrmrd:matrixSize/ismrmrd:"
    sizes = [(root.findtext(path + axis, namespaces=NAMESPACE) or "").strip() for axis in "xy"]
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise ValueError(f"{space}/matrixSize has x {sizes[0]!r} and y {sizes[1]!r}, expected two whole numbers")
    return int(sizes[0]), int(sizes[1])
