"""Is the coil-combined image a truth? The check of the image of fully sampled k-space against that k-space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alps_exp.mri.coil_images import fold
from alps_exp.mri.fourier import Array, to_image, to_kspace

REGIONS = 4  # regions along each axis
LEAST_MISFIT, LARGEST_MISFIT, LARGEST_RESIDUAL = 0.7, 1.5, 0.4
"""Bounds of a sound truth. Of a real slice at 1 mm with ESPIRiT's maps, the misfit is 1.06 and the residual 0.10."""


@dataclass(frozen=True)
class TruthCheck:
    """How well an image with its sensitivity maps explains the k-space it comes from.

    Attributes
    ----------
    misfit : float
        ||A x - y||^2 over all measured samples, over its expectation if y is A x with noise of the stated level:
        1 - 1/C of the samples' noise for C coils, since the image fits the noise along the maps (1 - 2/C if two points
        of the image fold onto each pixel).
    residual : float
        Largest residual of the coil images in a region, beyond what is expected of noise, relative to the coil images:
        root of the ratio of energies.
    region : str
        Rows and columns of that region.
    """

    misfit: float
    residual: float
    region: str

    @property
    def is_sound(self) -> bool:
        """Whether both are within the bounds of this module."""
        return LEAST_MISFIT <= self.misfit <= LARGEST_MISFIT and self.residual <= LARGEST_RESIDUAL

    def __str__(self) -> str:
        return f"misfit {self.misfit:.2f} of 1 expected, residual {self.residual:.0%} at {self.region}"


def check_truth(kspace: Array, maps: Array, image: Array, measured: Array) -> TruthCheck | None:
    """Check the image of a slice; None for a single coil, which any image fits.

    Parameters
    ----------
    kspace
        (coils, H, W); its noise is white, with standard deviation 1 in real and imaginary part each.
    maps
        (coils, H', W'), of the size of k-space or larger.
    image
        (H', W').
    measured
        (H, W) bool.
    """
    coils = len(kspace)
    if coils == 1:
        return None
    points = maps.any(0).sum() / measured.size  # of the image that fold onto one pixel
    misfit = (kspace - to_kspace(fold(maps * image, measured.shape))) * measured
    expected = 2 * (coils - points) * measured.sum()
    share = measured.mean()  # of the noise of full k-space that zeros around the measured samples leave in the images
    residuals, signals = np.abs(to_image(misfit)) ** 2, np.abs(to_image(kspace)) ** 2
    worst, region = 0.0, "none"
    for rows in np.array_split(np.arange(measured.shape[0]), REGIONS):
        for columns in np.array_split(np.arange(measured.shape[1]), REGIONS):
            where = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            noise = 2 * share * len(rows) * len(columns)
            signal = signals[where].sum() - coils * noise
            if signal > coils * noise:  # where there is less, a residual is noise
                found = float(np.sqrt(max(residuals[where].sum() - (coils - points) * noise, 0) / signal))
                if found > worst:
                    worst, region = found, f"rows {rows[0]}-{rows[-1]}, columns {columns[0]}-{columns[-1]}"
    return TruthCheck(float((np.abs(misfit) ** 2).sum() / expected), worst, region)
