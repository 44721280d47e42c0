"""Radial sampling of k-space, rasterized on the Cartesian grid."""

from __future__ import annotations

import math

import numpy as np

from alps_exp.checks import check_count
from alps_exp.masks.base import Array, Mask

GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
"""Angle between consecutive spokes: 111.2 degrees."""


class RadialMask(Mask):
    """Spokes through the center of k-space at multiples of the golden angle, on the nearest points of the grid.

    Spokes reach as far in rows as in columns, relative to each side of k-space; its corners are not sampled. The angle
    of the first spoke is random. However many spokes there are, they cover all angles nearly evenly.

    Parameters
    ----------
    spokes
        Number of spokes, at least 1.
    seed
        Seed of the random angles.

    Raises
    ------
    ValueError
        If there is no spoke.

    References
    ----------
    Winkelmann, Schaeffter, Koehler, Eggers, Doessel, "An optimal radial profile order based on the golden ratio for
    time-resolved MRI", IEEE Trans. Med. Imaging 26, 2007.
    """

    def __init__(self, spokes: int, seed: int = 0) -> None:
        super().__init__(seed)
        self.spokes = check_count("spokes", spokes)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        angles = rng.uniform(0, math.pi) + GOLDEN_ANGLE * np.arange(self.spokes)
        radius = np.linspace(-1, 1, 4 * max(height, width) + 1)  # four points a sample, so that none is left out
        rows = _nearest(np.sin(angles)[:, None] * radius, height)
        columns = _nearest(np.cos(angles)[:, None] * radius, width)
        mask = np.zeros((height, width))
        mask[rows, columns] = 1
        return mask


def _nearest(places: Array, size: int) -> Array:
    """Return the samples nearest to places in [-1, 1], with zero frequency at size // 2."""
    samples: Array = np.rint(places * (size / 2)).astype(int) + size // 2
    return samples.clip(0, size - 1)
