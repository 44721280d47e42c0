"""Where an image comes from: which slice of which volume it is, and what its values are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command's help gets here, and must not wait for NumPy
    import numpy as np


@dataclass
class SourceSlice:
    """The slice of a volume that an image (1, H, W) shows.

    Attributes
    ----------
    volume : str
        Name of the volume.
    number : int
        Number of the slice in its file.
    numbers : list of int
        Those of all slices of the volume that have an image, or should have one, ascending.
    scale : numpy.ndarray or None
        (1, H, W) float32, see `alps_exp.mri.coil_images.source_scale`: times it, the image has the values of its file.
        None: it is not known.
    voxel_size : list of float or None
        From one row to the next, from one column to the next, and the thickness of a slice, in mm. None: not known.
    """

    volume: str
    number: int
    numbers: list[int]
    scale: np.ndarray | None = None
    voxel_size: list[float] | None = None
