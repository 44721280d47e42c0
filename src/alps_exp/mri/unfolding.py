"""Coil sensitivity maps of an object that exceeds the field of view, so that what is beyond folds onto the rest.

Where two points of the object fold onto one pixel, the coils see the sum of two images, each with its own
sensitivities. ESPIRiT finds the plane that the two vectors of sensitivities span, not the vectors (Uecker et al., MRM
71, 2014). These are found here from two facts: sensitivities are smooth across the border of the field of view, and
inside it, where nothing folds, they are known. The object can then be restored as one image instead of parts on top of
each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import legvander

from alps_exp.mri.fourier import Array

LEAST_POINTS = 8  # of the object for each polynomial: fewer are near smooth maps whatever they are
ONE, TWO = 0.7, 0.9
"""Second eigenvalue of ESPIRiT's matrix below which one point is seen, and above which two are."""
PARALLEL = 0.95  # cosine of two vectors above which the data do not tell the two points apart
SEEN = 0.1  # of the largest magnitude: below it there is no object
DEGREE, POINTS = 8, 50  # of the polynomials; of the grid they are fitted on, along each axis
SPAN_WEIGHT, FIRST_RIDGE, RIDGE, ITERATIONS = 10.0, 1e-4, 1e-6, 200


@dataclass(frozen=True)
class Subspace:
    """What ESPIRiT says of the sensitivities at every pixel.

    Attributes
    ----------
    values : Array
        (H, W) the second eigenvalue, in [0, 1].
    vectors : Array
        (H, W, coils, 2) the first two eigenvectors.
    magnitude : Array
        (H, W) root sum of squares of the low-resolution coil images.
    """

    values: Array
    vectors: Array
    magnitude: Array

    @property
    def transposed(self) -> Subspace:
        """The same with rows and columns exchanged."""
        return Subspace(self.values.T, self.vectors.swapaxes(0, 1), self.magnitude.T)

    def has_folds(self) -> bool:
        """Return whether two points are seen at some pixels of the object."""
        return bool(((self.values > TWO) & (self.magnitude > SEEN * self.magnitude.max())).any())


@dataclass(frozen=True)
class UnfoldedMaps:
    """Maps of an image that is twice as large as the field of view along one axis.

    Attributes
    ----------
    maps : Array
        (coils, H', W') complex64 unit vectors, in the plane of the pixel that they fold onto. Outside the field of
        view, where one point is seen or the two have nearly the same sensitivities, the vector is orthogonal to that of
        the point inside. Where one is seen the coils measure noise along it, so the data say that nothing is there.
    seen : Array
        (H', W') bool: whether a point inside, or one of two that are seen.
    distance : float
        Root mean square of their distance to polynomials; for maps of a real slice it is 0.02. Infinite if there are
        too few pixels to tell.
    """

    maps: Array
    seen: Array
    distance: float


def unfolded_maps(subspace: Subspace, axis: int) -> UnfoldedMaps:
    """Return the maps of an object that exceeds the field of view along an axis, -2 or -1."""
    if axis == -2:
        found = unfolded_maps(subspace.transposed, -1)
        return UnfoldedMaps(np.ascontiguousarray(found.maps.swapaxes(-1, -2)), found.seen.T, found.distance)
    height, width = subspace.values.shape
    steps = [-(-size // POINTS) for size in (height, 2 * width)]
    coarse = _Grid(subspace, np.arange(0, height, steps[0]), np.arange(0, 2 * width, steps[1]))
    coefficients, fitting = _first_fit(coarse), _fitting(coarse)
    for _ in range(ITERATIONS + 1):
        vectors = coarse.in_span(coarse.polynomials @ coefficients)
        coefficients = fitting @ vectors.reshape(fitting.shape[1], -1)
    squares = np.linalg.norm(vectors - coarse.polynomials @ coefficients, axis=-1) ** 2
    distance = float(np.sqrt((coarse.weights**2 * squares).sum() / (coarse.weights**2).sum()))
    if not coarse.tells_smooth_from_rough():
        distance = math.inf
    fine = _Grid(subspace, np.arange(height), np.arange(2 * width))
    maps = fine.in_span(fine.polynomials @ coefficients)
    points_inside = maps[:, fine.below + fine.shift]
    cosine = np.abs((maps.conj() * points_inside).sum(-1))
    seen = fine.inside | (fine.second > (ONE + TWO) / 2)
    apart = ~fine.inside & (~seen | (cosine > PARALLEL))
    maps[apart] = fine.orthogonal(points_inside)[apart]
    return UnfoldedMaps(np.ascontiguousarray(maps.transpose(2, 0, 1).astype(np.complex64)), seen, distance)


class _Grid:
    """Points of the image, which is twice as wide as the field of view, and what they fold onto.

    Attributes: the columns `below` in the field of view, which begins at column `shift`; `planes` (rows, columns,
    coils, 2) and `second` eigenvalues (rows, columns) there; whether a point is `inside` the field of view and `alone`;
    `weights` (rows, columns) of the points whose sensitivities are known up to a factor or up to their plane, and
    `polynomials` (rows, columns, count) with their `orders` (count, 2).
    """

    def __init__(self, subspace: Subspace, rows: Array, columns: Array) -> None:
        height, width = subspace.values.shape
        self.shift = width - width // 2
        self.below = (columns - self.shift) % width
        pixels = np.ix_(rows, self.below)
        self.planes, self.second = subspace.vectors[pixels], subspace.values[pixels]
        self.inside = np.broadcast_to((columns >= self.shift) & (columns < self.shift + width), self.second.shape)
        one, two = self.second < ONE, self.second > TWO
        magnitude = subspace.magnitude[pixels] / subspace.magnitude.max()
        self.alone = self.inside & one
        self.weights = magnitude * (self.alone | two)
        self._share = np.clip((self.second - ONE) / (TWO - ONE), 0, 1)  # of the second vector
        self.orders = np.array([(a, b) for a in range(DEGREE + 1) for b in range(DEGREE + 1 - a)])
        along_rows, along_columns = _legendre(rows, height), _legendre(columns, 2 * width)
        self.polynomials = along_rows[:, None, self.orders[:, 0]] * along_columns[None, :, self.orders[:, 1]]

    def tells_smooth_from_rough(self) -> bool:
        """Return whether there are enough points of the object, and enough that are alone, for as many polynomials."""
        seen = self.weights > SEEN
        return bool(seen.sum() > LEAST_POINTS * len(self.orders) and (seen & self.alone).sum() > len(self.orders))

    def in_span(self, vectors: Array) -> Array:
        """Return the unit vectors (rows, columns, coils) in the planes that are nearest to these."""
        parts = np.einsum("rwck,rwc->rwk", self.planes.conj(), vectors)
        parts[..., 1] *= self._share
        inside = np.einsum("rwck,rwk->rwc", self.planes, parts)
        length = np.linalg.norm(inside, axis=-1, keepdims=True)
        unit: Array = np.divide(inside, length, out=np.zeros_like(inside), where=length > 0)
        return unit

    def orthogonal(self, vectors: Array) -> Array:
        """Return the unit vectors (rows, columns, coils) in the planes that are orthogonal to these."""
        first, second = np.einsum("rwck,rwc->krw", self.planes.conj(), vectors)
        turned: Array = np.einsum("rwck,krw->rwc", self.planes, np.stack([-second.conj(), first.conj()]))
        return turned

    def outside_of_planes(self) -> Array:
        """Return the projections (rows, columns, coils, coils) onto what is orthogonal to the planes."""
        kept = self.planes * np.stack([np.ones_like(self._share), self._share > 0], -1)[..., None, :]
        beyond: Array = np.eye(self.planes.shape[-2]) - kept @ self.planes.conj().swapaxes(-1, -2)
        return beyond

    def roughness(self, weights: Array, ridge: float) -> Array:
        """Return the penalty (count, count) of rough polynomials, for a fit with these weights."""
        penalty: Array = np.diag(ridge * weights.sum() * (self.orders**2).sum(-1) ** 2.0)
        return penalty


def _first_fit(grid: _Grid) -> Array:
    """Return the polynomials (count, coils) that are the first eigenvector where it is alone, and lie in the planes.

    The phase of the eigenvectors is free; it is taken against a combination of coils that all of them see.
    """
    weights = grid.weights * grid.alone
    first = grid.planes[..., 0]
    seen = first * weights[..., None]
    combination = np.linalg.eigh(np.einsum("rwc,rwd->cd", seen, seen.conj()))[1][:, -1]
    phase = np.exp(1j * np.angle(first.conj() @ combination))
    p, coils = grid.polynomials.reshape(weights.size, -1), first.shape[-1]
    count = p.shape[-1]
    pairs = (p[:, :, None] * p[:, None, :]).reshape(len(p), -1) * grid.weights.reshape(-1, 1)
    planes = (pairs.T @ grid.outside_of_planes().reshape(len(p), -1)).reshape(count, count, coils, coils)
    known = (p.T * weights.ravel()) @ p + grid.roughness(weights, FIRST_RIDGE)
    matrix = SPAN_WEIGHT * planes.transpose(0, 2, 1, 3).reshape(count * coils, -1) + np.kron(known, np.eye(coils))
    right = (p.T * weights.ravel()) @ (first * phase[..., None]).reshape(len(p), -1)
    return np.linalg.solve(matrix, right.ravel()).reshape(right.shape)


def _fitting(grid: _Grid) -> Array:
    """Return the matrix (count, points) that turns vectors at the points into the polynomials nearest to them."""
    weights, p = grid.weights.ravel() ** 2, grid.polynomials.reshape(grid.weights.size, -1)
    return np.linalg.solve((p.T * weights) @ p + grid.roughness(weights, RIDGE), p.T * weights)


def _legendre(points: Array, size: int) -> Array:
    return legvander(2 * (points + 0.5) / size - 1, DEGREE)
