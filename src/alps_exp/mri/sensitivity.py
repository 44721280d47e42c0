"""Coil sensitivity maps from the calibration region, the fully sampled center of k-space."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from alps_exp.checks import LARGEST_SIDE, check_count
from alps_exp.crops import around_zero_frequency
from alps_exp.mri.coil_images import combine
from alps_exp.mri.fourier import Array, to_image
from alps_exp.mri.kspace import KSpaceError
from alps_exp.mri.truth import LARGEST_RESIDUAL, check_truth
from alps_exp.mri.unfolding import Subspace, unfolded_maps
from alps_exp.packages import require

AXES = {"rows": -2, "columns": -1}
FEWEST = 4
"""Side of the smallest calibration region of `LowResolutionMaps`."""
SMOOTH, SMOOTHER = 0.04, 0.7
"""Largest distance of unfolded maps from smooth ones, and relative to that along the other axis.

For real slices it is 0.02 along the axis where they are folded, and 0.06 along the other.
"""


class MapEstimator(ABC):
    """Base class of estimators of the coil sensitivity maps of a slice.

    Called with k-space (coils, H, W) and its sampling mask (H, W) bool, an estimator returns maps (coils, H, W)
    complex64 with sum over coils of abs(S)^2 equal to 1, or to 0 where the estimator sees no object. `of_volume`
    returns the maps of several slices, which are larger than k-space if the object exceeds the field of view.

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
            need = self.smallest_width
            cure = f": take maps=low_resolution, which needs {FEWEST} x {FEWEST}" if FEWEST <= width < need else ""
            raise KSpaceError(
                f"the fully sampled center of k-space has {width} x {width} samples, "
                f"the sensitivity maps need {need} x {need}{cure}"
            )
        maps = self.estimate(kspace, width)
        if not np.isfinite(maps).all():
            raise KSpaceError("sensitivity maps are not finite: the calibration region holds no signal")
        return maps.astype(np.complex64, copy=False)

    def of_volume(self, slices: Sequence[Array], masks: Sequence[Array]) -> tuple[list[Array], list[str]]:
        """Return the maps of every slice, all of one size, and what is to be said of them."""
        return [self(kspace, measured) for kspace, measured in zip(slices, masks, strict=True)], []

    @abstractmethod
    def estimate(self, kspace: Array, width: int) -> Array:
        """Return the maps, given that the central `width` x `width` samples are fully measured."""


class EspiritMaps(MapEstimator):
    """ESPIRiT (Uecker et al., MRM 71, 2014) as `sigpy.mri.app.EspiritCalib` computes it, on the CPU.

    If the object exceeds the field of view, the maps of a volume cover twice the field of view, see
    `alps_exp.mri.unfolding`. That is the case if maps of the field of view do not explain the calibration region, two
    points are seen at some pixels, and smooth maps of both can be found.

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
    unfold
        Whether the object exceeds the field of view along ``rows`` or ``columns``, or not (``none``); ``auto``: as the
        data say.

    Raises
    ------
    ValueError
        If `unfold` is none of these.
    """

    def __init__(
        self,
        calibration_width: int = 24,
        kernel_width: int = 6,
        threshold: float = 0.02,
        crop: float = 0.0,
        max_iterations: int = 100,
        *,
        unfold: Literal["auto", "none", "rows", "columns"] = "auto",
    ) -> None:
        super().__init__(calibration_width, 2 * check_count("kernel_width", kernel_width, LARGEST_SIDE))
        if unfold not in ("auto", "none", *AXES):
            raise ValueError(f"unfold must be auto, none, {' or '.join(AXES)}, got {unfold!r}")
        self.unfold = unfold
        self.kernel_width, self.threshold, self.crop = kernel_width, threshold, crop
        self.max_iterations = check_count("max_iterations", max_iterations)

    def estimate(self, kspace: Array, width: int) -> Array:
        """Return the maps; see the class."""
        maps: Array = self._calibration(kspace, width).run()
        return maps

    def of_volume(self, slices: Sequence[Array], masks: Sequence[Array]) -> tuple[list[Array], list[str]]:
        """Return the maps of every slice, of twice the field of view if the object exceeds it, and say so."""
        maps, remarks = super().of_volume(slices, masks)
        axis = self._folded_axis(slices, masks, maps)
        if axis is None:
            return maps, remarks
        widths = [calibration_width(measured, self.calibration_width) for measured in masks]
        subspaces = [self._subspace(kspace, width) for kspace, width in zip(slices, widths, strict=True)]
        unfolded = [unfolded_maps(subspace, AXES[axis]).maps for subspace in subspaces]
        size = " x ".join(map(str, unfolded[0].shape[-2:]))
        return unfolded, [f"the object exceeds the field of view along the {axis}: the images have {size} pixels"]

    def _folded_axis(self, slices: Sequence[Array], masks: Sequence[Array], maps: Sequence[Array]) -> str | None:
        """Return the axis along which the object exceeds the field of view, None if it does not."""
        if self.unfold != "auto":
            return None if self.unfold == "none" else self.unfold
        distances: list[list[float]] = []
        for kspace, measured, of_slice in zip(slices, masks, maps, strict=True):
            width = calibration_width(measured, self.calibration_width)
            if _residual(of_slice, kspace, width) <= LARGEST_RESIDUAL:
                continue
            subspace = self._subspace(kspace, width)
            if subspace.has_folds():
                found = [unfolded_maps(subspace, axis) for axis in AXES.values()]
                good = [_residual(one.maps * one.seen, kspace, width) <= LARGEST_RESIDUAL / 2 for one in found]
                distances.append([one.distance if fine else math.inf for one, fine in zip(found, good, strict=True)])
        if not distances:
            return None
        (distance, axis), (other, _) = sorted(zip(np.median(distances, axis=0), AXES, strict=True))
        return axis if distance < min(SMOOTH, SMOOTHER * other) else None

    def _calibration(self, kspace: Array, width: int) -> Any:
        app = require("sigpy.mri.app", "ESPIRiT", "sigpy")
        return app.EspiritCalib(
            kspace,
            calib_width=width,
            thresh=self.threshold,
            kernel_width=self.kernel_width,
            crop=self.crop,
            max_iter=self.max_iterations,
            show_pbar=False,
        )

    def _subspace(self, kspace: Array, width: int) -> Subspace:
        # The operator of sigpy's power method applies the matrix of every pixel, (W, H, coils, coils).
        identity = np.eye(len(kspace), dtype=kspace.dtype)
        values, vectors = np.linalg.eigh(self._calibration(kspace, width).alg.A(identity))
        largest_first = vectors[..., :-3:-1].swapaxes(0, 1)
        magnitude = np.linalg.norm(low_resolution_images(kspace, width), axis=0)
        return Subspace(values[..., -2].T, largest_first, magnitude)


class LowResolutionMaps(MapEstimator):
    """Low-resolution coil images divided by their root sum of squares: cheap, and nonzero everywhere.

    Parameters
    ----------
    calibration_width
        Maximum side of the calibration region; at least 4 samples are needed.
    """

    def __init__(self, calibration_width: int = 24) -> None:
        super().__init__(calibration_width, FEWEST)

    def estimate(self, kspace: Array, width: int) -> Array:
        """Return the maps; see the class."""
        images = low_resolution_images(kspace, width)
        maps: Array = images / np.linalg.norm(images, axis=0)
        return maps


def _residual(maps: Array, kspace: Array, width: int) -> float:
    """Return the residual of the image of the calibration region, with these maps; see `TruthCheck`."""
    region = calibration_region(kspace, width)
    measured = calibration_region(np.ones(kspace.shape[-2:], dtype=bool), width)
    check = check_truth(region, maps, combine(to_image(region), maps)[0], measured)
    return 0 if check is None else check.residual


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
