"""Slices of a subject's head from an NRRD file, for validation."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch.nn.functional import pad
from torch.utils.data import Dataset

from alps_exp.batch import Item
from alps_exp.checks import LARGEST_SIDE, check_count
from alps_exp.datasets.brain import HEAD_VIEW, complex_item, resize
from alps_exp.datasets.mr_augmentation import Array, random_phase
from alps_exp.packages import require
from alps_exp.randomness import numpy_generator

LARGEST_VOLUME = 1 << 28  # numbers
SIGNS = {"left-posterior-superior": (-1, -1, 1), "right-anterior-superior": (1, 1, 1)}
"""Of steps along the axes to the right, to the front and upwards, by the name of a file's space."""


class SubjectSlices(Dataset[Item]):
    """The axial planes of a head as complex MR images, each with a smooth phase from its id.

    An item is ``image`` (1, size, size) complex64 of maximum magnitude 1, front at the top, and ``image_id``. The head
    stays where the scanner had it: in the middle of the view.

    Parameters
    ----------
    path
        NRRD file of one volume along the axes of the body.
    size
        Side of the images in pixels.
    view
        Field of view in mm, to the nearest pixel of the file.
    planes
        (start, stop) picks a half-open range of the planes, lowest first; None takes all.

    Raises
    ------
    FileNotFoundError
        On first use, if there is no such file.
    ValueError
        On first use, if pynrrd is missing, the file is no such volume, or planes do not fit it.
    """

    channels = 2

    def __init__(self, path: str, size: int = 64, view: float = HEAD_VIEW, planes: Sequence[int] | None = None) -> None:
        self.path, self.size, self.view = Path(path), check_count("size", size, LARGEST_SIDE), view
        self.planes = None if planes is None else tuple(planes)

    @cached_property
    def images(self) -> dict[int, Array]:
        """Magnitude (size, size) float32 of the planes in use, by their number."""
        volume, spacing = read_nrrd(self.path)
        start, stop = self.planes or (0, len(volume))
        if not 0 <= start < stop <= len(volume):
            raise ValueError(f"planes [{start}, {stop}) do not fit the {len(volume)} planes of {self.path}")
        side = round(self.view / spacing)
        if not 1 <= side <= LARGEST_SIDE:
            raise ValueError(f"{self.path} has pixels of {spacing:g} mm: a view of {self.view:g} mm has {side:,}")
        rows, columns = (side - n for n in volume.shape[1:])
        borders = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        planes = resize(pad(torch.from_numpy(volume[start:stop]), borders), self.size).clamp(min=0)
        planes /= planes.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        return dict(zip(range(start, stop), planes.numpy(), strict=True))

    @property
    def image_ids(self) -> list[str]:
        """Id of each item."""
        return [f"{self.path.stem}_z{number:03d}" for number in self.images]

    @property
    def index(self) -> list[str]:
        """A line for each item that changes with the volume: id and checksum."""
        checksum = zlib.crc32(self.path.read_bytes())
        return [f"{image_id} {checksum:08x}" for image_id in self.image_ids]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        image_id, magnitude = self.image_ids[index], list(self.images.values())[index]
        return complex_item(magnitude, random_phase(numpy_generator(0, image_id), self.size), image_id)


def read_nrrd(path: Path) -> tuple[Array, float]:
    """Read a volume as axial planes (N, rows, columns) float32, lowest first, front at the top, right at the right.

    Returns the planes and the size of a pixel in mm. Raises as `SubjectSlices`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such volume: {path}")
    nrrd = require("nrrd", "an NRRD volume", "'alps_exp[demo]'")
    try:
        with open(path, "rb") as file:
            header = nrrd.read_header(file)
            _check_size(header, file)
            values = nrrd.read_data(header, file)
        steps = np.asarray(header["space directions"], float)
        signs = SIGNS[header["space"]]
    except (nrrd.NRRDError, KeyError, OSError, EOFError, IndexError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} is not an NRRD volume along the axes of the body: {error}") from error
    right, front, up = np.diag(steps) * signs if steps.shape == (3, 3) else (0.0, 0.0, 0.0)
    if values.ndim != 3 or not np.allclose(steps, np.diag(np.diag(steps))) or not np.isclose(abs(right), abs(front)):
        raise ValueError(f"{path} must be one volume of square pixels along the axes of the body, got steps of {steps}")
    values = values.astype(np.float32)
    if not right * up or not np.isfinite(values).all() or values.max() <= 0:
        raise ValueError(f"{path} has values that are not finite, none above 0, or pixels of no size")
    turned = tuple(axis for axis, step in enumerate((up, -front, right)) if step < 0)
    return np.flip(values.transpose(2, 1, 0), axis=turned).copy(), abs(float(right))


def _check_size(header: Mapping[str, object], file: IO[bytes]) -> None:
    """Check that what follows the header in a file is the volume that it declares.

    Raises
    ------
    ValueError
        If it is in another file, too large, packed by another method than gzip, or unpacks to more than is declared.
    """
    if elsewhere := {"data file", "datafile"} & header.keys():
        raise ValueError(f"its {elsewhere.pop()} is another file: save it as one")
    if {"line skip", "lineskip"} & header.keys():
        raise ValueError("it has lines to skip between header and volume: save it without")
    sizes, encoding = np.asarray(header["sizes"], dtype=object), str(header["encoding"])
    numbers = math.prod(int(size) for size in sizes.reshape(-1))
    if not 0 < numbers <= LARGEST_VOLUME:
        raise ValueError(f"it declares {numbers:,} numbers, expected at most {LARGEST_VOLUME:,}")
    if encoding in ("gzip", "gz"):
        start, most = file.tell(), 8 * numbers
        unpacking, unpacked = zlib.decompressobj(zlib.MAX_WBITS | 32), 0
        while block := file.read(1 << 16):
            while block and unpacked <= most:
                unpacked += len(unpacking.decompress(block, 1 << 20))
                block = unpacking.unconsumed_tail
            if unpacked > most:
                raise ValueError("it unpacks to more than it declares")
        file.seek(start)
    elif encoding != "raw":
        raise ValueError(f"its encoding is {encoding!r}, expected raw or gzip")
