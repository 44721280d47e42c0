"""What is marked on images: the border of what was not measured, and the region that is enlarged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_LONGEST_BORDER = 0.15  # sides a pixel: scattered pixels have more, and no border that helps
_HOLE, _SMALLEST_HOLE = 8, 8  # a hole among scattered pixels: the side of the image over this, and pixels at least
_ZOOMED, _SMALLEST = 4, 32  # the side of an image over that of its region; smaller images are not enlarged


class Region(NamedTuple):
    """A square of pixels: its first row and column, and its side."""

    row: int
    column: int
    size: int


def hidden_pixels(measurement: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return where nothing was measured of an image, or its large holes where the mask is scattered.

    An operator that masks leaves exact zeros, which noisy pixels never are.

    Parameters
    ----------
    measurement
        Measurement of an image.
    shape
        Shape (C, H, W) of the image.

    Returns
    -------
    numpy.ndarray or None
        (H, W), bool; None if nothing is to be marked.
    """
    if measurement is None or np.iscomplexobj(measurement) or measurement.shape != shape:
        return None
    missing = (measurement == 0).all(axis=0)
    if len(border(missing)) > _LONGEST_BORDER * missing.size:
        missing = _opened(missing, max(min(missing.shape) // _HOLE, _SMALLEST_HOLE))
    return missing if missing.any() and not missing.all() else None


def _opened(missing: np.ndarray, side: int) -> np.ndarray:
    """Return the pixels that belong to a square of this side of missing pixels."""
    opened = np.zeros_like(missing)
    if min(missing.shape) >= side:
        for row, column in np.argwhere(sliding_window_view(missing, (side, side)).all(axis=(2, 3))):
            opened[row : row + side, column : column + side] = True
    return opened


def border(region: np.ndarray) -> np.ndarray:
    """Return the sides of pixels between a region (H, W) and the rest, as lines (N, 2, 2) from (x, y) to (x, y)."""
    padded = np.pad(region, 1).astype(np.int8)
    y, x = np.nonzero(np.diff(padded, axis=0))
    across = np.stack([np.stack([x - 1.5, y - 0.5], -1), np.stack([x - 0.5, y - 0.5], -1)], 1)
    y, x = np.nonzero(np.diff(padded, axis=1))
    along = np.stack([np.stack([x - 0.5, y - 1.5], -1), np.stack([x - 0.5, y - 0.5], -1)], 1)
    return np.concatenate([across, along])


def largest_region(values: np.ndarray) -> Region | None:
    """Return the square where values (H, W) are largest on average; None if the image is too small to be enlarged."""
    if min(values.shape) < _SMALLEST:
        return None
    size = min(values.shape) // _ZOOMED
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    means = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    row, column = np.unravel_index(means.argmax(), means.shape)
    return Region(int(row), int(column), size)
