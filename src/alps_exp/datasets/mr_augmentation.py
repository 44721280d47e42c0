"""Random deformation, contrast and phase, which turn magnitude slices into varied complex MR images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

Array = np.ndarray


@lru_cache(maxsize=16)
def _spline_matrix(size: int, knots: int) -> Array:
    """Cubic B-splines of `knots` control points, evaluated at `size` pixel centers: (size, knots)."""
    places = (np.arange(size) + 0.5) / size * (knots - 3)
    matrix: Array = scipy.interpolate.BSpline.design_matrix(places, np.arange(-3, knots + 1), 3).toarray()
    return matrix.astype(np.float32)


def smooth_field(rng: np.random.Generator, size: int, knots: int) -> Array:
    """Draw a smooth random field (size, size): cubic B-splines with standard normal control points.

    `knots` control points per side (at least 4) determine its smoothness. Its standard deviation is about 0.5, because
    neighboring control points average out.
    """
    matrix = _spline_matrix(size, knots)
    field: Array = matrix @ rng.standard_normal((knots, knots), dtype=np.float32) @ matrix.T
    return field


@dataclass(frozen=True)
class Warp:
    """Ranges of a random deformation of the plane.

    Attributes
    ----------
    zoom
        Range of the magnification of the image content.
    stretch
        Largest relative difference between the magnifications of the two directions.
    rotation
        Largest angle, in radians.
    shear
        Largest shear.
    shift
        Largest displacement of the content, as a fraction of the field of view.
    elastic
        Standard deviation of the displacement of a spline control point, as a fraction of the field of view.
    knots
        Control points a side.
    """

    zoom: tuple[float, float]
    stretch: float = 0.1
    rotation: float = 0.25
    shear: float = 0.08
    shift: float = 0.03
    elastic: float = 0.02
    knots: int = 9

    def sample(self, rng: np.random.Generator, size: int) -> tuple[Array, Array]:
        """Draw source coordinates per pixel: rows and columns (size, size), -0.5 to 0.5 over the field of view.

        Half of the deformations are mirrored left to right.
        """
        matrix = self._linear(rng).astype(np.float32)
        shift = rng.uniform(-self.shift, self.shift, 2).astype(np.float32)
        centers = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
        row, column = centers[:, None], centers[None, :]
        rows, columns = (
            m[0] * row + m[1] * column + offset + self.elastic * smooth_field(rng, size, self.knots)
            for m, offset in zip(matrix, shift, strict=True)
        )
        return rows, columns

    def _linear(self, rng: np.random.Generator) -> Array:
        angle = rng.uniform(-self.rotation, self.rotation)
        shear = rng.uniform(-self.shear, self.shear)
        ratio = np.exp(rng.uniform(-self.stretch, self.stretch) / 2)
        zoom = rng.uniform(*self.zoom)
        mirror = rng.choice([-1.0, 1.0])
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix: Array = rotation @ np.array([[ratio, shear], [0, mirror / ratio]]) / zoom
        return matrix


def random_contrast(rng: np.random.Generator, magnitude: Array, bend: tuple[float, float]) -> Array:
    """Map intensities in [0, 1] by a random monotone curve, then apply smooth shading; background stays 0.

    The curve is (1 - exp(-g m)) / (1 - exp(-g)) with g uniform in `bend` (positive values brighten dark tissue),
    followed by a piecewise linear one that changes local contrast by a factor of up to about two. The shading imitates
    a coil sensitivity of about +- 10 %. The maximum of the result is drawn from [0.75, 1].
    """
    gain = rng.uniform(*bend)
    if abs(gain) > 1e-3:
        magnitude = np.expm1(-gain * magnitude) / np.expm1(-gain)
    steps = rng.uniform(0.5, 1.5, 8)
    levels = np.concatenate([[0], np.cumsum(steps) / steps.sum()]).astype(np.float32)
    magnitude = np.interp(magnitude, np.linspace(0, 1, 9), levels).astype(np.float32)
    magnitude *= np.exp(0.2 * smooth_field(rng, magnitude.shape[-1], 5))
    return magnitude * (rng.uniform(0.75, 1) / max(float(magnitude.max()), 1e-6))


def random_phase(rng: np.random.Generator, size: int) -> Array:
    """Draw a smooth phase factor (size, size) complex64: a random offset, a linear ramp, and a slow variation."""
    centers = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    offset, down, right = rng.uniform(-np.pi, np.pi, 3) * np.array([1, 0.5, 0.5])
    phase: Array = offset + down * centers[:, None] + right * centers[None, :] + smooth_field(rng, size, 5)
    factor: Array = np.exp(1j * phase)
    return factor.astype(np.complex64)


def average_blocks(image: Array, factor: int) -> Array:
    """Average blocks of factor x factor pixels."""
    size = image.shape[-1] // factor
    averaged: Array = image.reshape(size, factor, size, factor).mean((1, 3))
    return averaged
