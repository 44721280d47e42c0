"""Coil sensitivity maps from the calibration region, the fully sampled center of k-space."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from alps_exp.crops import around_zero_frequency
from alps_exp.mri.fourier import Array, to_image
from alps_exp.mri.kspace import KSpaceError
from alps_exp.packages import require


class MapEstimator(ABC):
    """Base class of estimators of the coil sensitivity maps of a slice.

    Called with k-space (coils, H, W) and its sampling mask (H, W) bool, an estimator returns maps (coils, H, W)
    complex64 with sum over coils of abs(S)^2 equal to 1, or to 0 where the estimator sees no object.

    Parameters
    ----------
    calibration_width
        Maximum side of the calibration region; the largest fully sampled region up to this size is used.
    smallest_width
        Minimum side that the estimator needs.

    Raises
    ------
    ValueError
        If `calibration_width` is below `smallest_width`.
    KSpaceError
        When called, if no region of the minimum size is fully sampled.
    """

    def __init__(self, calibration_width: int, smallest_width: int) -> None:
        if calibration_width < smallest_width:
            raise ValueError(f"calibration_width must be at least {smallest_width}, got {calibration_width}")
        self.calibration_width, self.smallest_width = calibration_width, smallest_width

    def __call__(self, kspace: Array, measured: Array) -> Array:
        """Return the maps of a slice; see the class."""
        width = calibration_width(measured, self.calibration_width)
        if width < self.smallest_width:
            raise KSpaceError(
                f"the fully sampled center of k-space has {width} x {width} samples, "
                f"the sensitivity maps need {self.smallest_width} x {self.smallest_width}"
            )
        maps = self.estimate(kspace, width)
        if not np.isfinite(maps).all():
            raise KSpaceError("sensitivity maps are not finite: the calibration region holds no signal")
        return maps.astype(np.complex64, copy=False)

    @abstractmethod
    def estimate(self, kspace: Array, width: int) -> Array:
        """Return the maps, given that the central `width` x `width` samples are fully measured."""


class EspiritMaps(MapEstimator):
    """ESPIRiT (Uecker et al., MRM 71, 2014) as `sigpy.mri.app.EspiritCalib` computes it, on the CPU.

    Parameters
    ----------
    calibration_width
        Maximum side of the calibration region.
    kernel_width
        Side of the k-space kernels; the calibration region must be at least twice as wide.
    threshold
        Singular values of the calibration matrix below this fraction of the largest are treated as noise.
    crop
        Maps are set to 0 where their eigenvalue is below this value, that is, outside the object. There the data no
        longer constrain the image, and a sampler is free to invent content; with 0 they always do.
    max_iterations
        Iterations of the power method.
    """

    def __init__(
        self,
        calibration_width: int = 24,
        kernel_width: int = 6,
        threshold: float = 0.02,
        crop: float = 0.0,
        max_iterations: int = 100,
    ) -> None:
        super().__init__(calibration_width, 2 * kernel_width)
        self.kernel_width, self.threshold, self.crop = kernel_width, threshold, crop
        self.max_iterations = max_iterations

    def estimate(self, kspace: Array, width: int) -> Array:
        """Return the maps; see the class."""
        app = require("sigpy.mri.app", "ESPIRiT", "sigpy")
        calibration = app.EspiritCalib(
            kspace,
            calib_width=width,
            thresh=self.threshold,
            kernel_width=self.kernel_width,
            crop=self.crop,
            max_iter=self.max_iterations,
            show_pbar=False,
        )
        maps: Array = calibration.run()
        return maps


class LowResolutionMaps(MapEstimator):
    """Low-resolution coil images divided by their root sum of squares: cheap, and nonzero everywhere.

    Parameters
    ----------
    calibration_width
        Maximum side of the calibration region; at least 4 samples are needed.
    """

    def __init__(self, calibration_width: int = 24) -> None:
        super().__init__(calibration_width, 4)

    def estimate(self, kspace: Array, width: int) -> Array:
        """Return the maps; see the class."""
        images = low_resolution_images(kspace, width)
        maps: Array = images / np.linalg.norm(images, axis=0)
        return maps


def calibration_width(measured: Array, largest: int) -> int:
    """Return the side of the largest centered square of at most `largest` samples that is fully measured, or 0."""
    rows, columns = measured.shape
    for width in range(min(largest, rows, columns), 0, -1):
        if measured[around_zero_frequency(rows, width), around_zero_frequency(columns, width)].all():
            return width
    return 0


def calibration_region(kspace: Array, width: int) -> Array:
    """Return k-space (..., H, W) with zeros outside its central `width` x `width` samples."""
    rows, columns = kspace.shape[-2:]
    where = (..., around_zero_frequency(rows, width), around_zero_frequency(columns, width))
    region = np.zeros_like(kspace)
    region[where] = kspace[where]
    return region


def low_resolution_images(kspace: Array, width: int) -> Array:
    """Return the coil images (..., coils, H, W) of the central `width` x `width` samples under a Hann window."""
    window = np.cos(np.pi * (np.arange(width) - width // 2) / (width + 1)) ** 2
    region = calibration_region(kspace, width)
    rows, columns = kspace.shape[-2:]
    region[..., around_zero_frequency(rows, width), around_zero_frequency(columns, width)] *= np.outer(
        window, window
    ).astype(np.float32)
    return to_image(region)
