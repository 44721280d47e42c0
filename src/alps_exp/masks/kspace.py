"""Sampling masks of Cartesian k-space, with zero frequency at H // 2, W // 2."""

from __future__ import annotations

import numpy as np

from alps_exp.crops import around_zero_frequency
from alps_exp.masks.base import Array, Mask
from alps_exp.packages import require

ATTEMPTS = 30  # candidates per point in Bridson's algorithm
SURPLUS = 1.05  # points aimed for, relative to those kept: the number of points of a disc scatters


class _CartesianMask(Mask):
    """Base class of k-space masks with an acceleration and a fully sampled center."""

    def __init__(self, acceleration: float, center_fraction: float, seed: int = 0) -> None:
        super().__init__(seed)
        if acceleration < 1:
            raise ValueError(f"acceleration must be at least 1, got {acceleration}")
        if not 0 <= center_fraction <= 1:
            raise ValueError(f"center_fraction must be in [0, 1], got {center_fraction}")
        self.acceleration = acceleration
        self.center_fraction = center_fraction

    def _check(self, num_center: int, num_kept: int) -> None:
        if num_kept < max(num_center, 1):
            raise ValueError(
                f"acceleration {self.acceleration} keeps {num_kept} samples, "
                f"fewer than the {max(num_center, 1)} of the center (center_fraction {self.center_fraction})"
            )


class CartesianMask1D(_CartesianMask):
    """1D Cartesian undersampling: a fully sampled center and other columns, exactly round(W / acceleration) in total.

    Parameters
    ----------
    acceleration
        Number of columns over the number kept, at least 1.
    center_fraction
        Width of the fully sampled center as a fraction of W.
    kind
        Columns outside the center. ``random``: drawn uniformly; ``equispaced``: evenly spread, with a random offset.
    seed
        Seed of the random masks.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the center alone exceeds the number of columns kept.
    """

    def __init__(self, acceleration: float, center_fraction: float = 0.08, kind: str = "random", seed: int = 0) -> None:
        super().__init__(acceleration, center_fraction, seed)
        if kind not in ("random", "equispaced"):
            raise ValueError(f"kind of mask must be random or equispaced, got {kind!r}")
        self.kind = kind

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        num_center, num_kept = round(self.center_fraction * width), round(width / self.acceleration)
        self._check(num_center, num_kept)
        columns = np.zeros(width)
        columns[around_zero_frequency(width, num_center)] = 1
        outside, target = np.flatnonzero(columns == 0), num_kept - num_center
        if self.kind == "random":
            chosen = rng.permutation(len(outside))[:target]
        else:
            chosen = ((np.arange(target) + rng.random()) * len(outside) / max(target, 1)).astype(int)
        columns[outside[chosen]] = 1
        return np.broadcast_to(columns, (height, width))


class CartesianMask2D(_CartesianMask):
    """2D undersampling: a fully sampled center and uniformly random points, exactly round(H W / acceleration) in total.

    Parameters
    ----------
    acceleration
        Number of points over the number kept, at least 1.
    center_fraction
        Side of the fully sampled center as a fraction of each side of k-space.
    seed
        Seed of the random masks.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the center alone exceeds the number of points kept.
    """

    def __init__(self, acceleration: float, center_fraction: float = 0.08, seed: int = 0) -> None:
        super().__init__(acceleration, center_fraction, seed)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        rows, columns = (around_zero_frequency(n, round(self.center_fraction * n)) for n in (height, width))
        mask = np.zeros((height, width))
        mask[rows, columns] = 1
        num_center, num_kept = int(mask.sum()), round(height * width / self.acceleration)
        self._check(num_center, num_kept)
        outside = np.flatnonzero(mask == 0)
        mask.flat[rng.permutation(outside)[: num_kept - num_center]] = 1
        return mask


class PoissonMask(_CartesianMask):
    """Variable-density Poisson-disc undersampling around a fully sampled center.

    Keeps exactly round(H W / acceleration) points in total, with a minimum distance between points. The disc radius
    grows as 1 + s r with the distance r from the center; the corners of k-space are not sampled. The slope s is
    determined once for each H and W, for slightly more points than are kept. Surplus points outside the center are then
    removed at random, which preserves the minimum distance.

    Parameters
    ----------
    acceleration
        Number of points over the number kept, above 1.
    center_fraction
        Side of the fully sampled center as a fraction of each side of k-space, rounded to an even number of points.
    seed
        Seed of the random masks.

    Raises
    ------
    ValueError
        If a parameter is out of range, or even the densest disc has fewer points than the acceleration requires.

    References
    ----------
    Bridson, "Fast Poisson disk sampling in arbitrary dimensions", SIGGRAPH 2007, as in `sigpy.mri.poisson`. That
    function's own search for s draws ten discs per mask, and fails if their numbers of points, which scatter by 5 % at
    a fixed s, miss the acceleration.
    """

    def __init__(self, acceleration: float, center_fraction: float = 0.08, seed: int = 0) -> None:
        super().__init__(acceleration, center_fraction, seed)
        if acceleration == 1:
            raise ValueError("acceleration must be above 1 for a Poisson disc, got 1")
        self._slopes: dict[tuple[int, int], float] = {}

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        disc, num_kept = self._disc(height, width), round(height * width / self.acceleration)
        self._check(disc.center[0] * disc.center[1], num_kept)
        if (height, width) not in self._slopes:
            self._slopes[height, width] = disc.slope(SURPLUS * num_kept)
        slope = self._slopes[height, width]
        # Some seeds still give too few points: retry with a denser disc, down to slope 0, the densest.
        while (mask := disc.draw(slope, int(rng.integers(2**31)))).sum() < num_kept:
            if slope == 0:
                raise ValueError(
                    f"acceleration {self.acceleration} keeps {num_kept} points of {height} x {width}, more than the "
                    f"{int(mask.sum())} of the densest Poisson disc: give a higher one"
                )
            slope = 0.95 * slope if slope > 0.01 else 0.0
        removable = np.flatnonzero((mask == 1) & disc.outside)
        mask.flat[rng.permutation(removable)[: int(mask.sum()) - num_kept]] = 0
        return mask

    def _disc(self, height: int, width: int) -> _Disc:
        rows, columns = (2 * round(self.center_fraction * n / 2) for n in (height, width))
        return _Disc((height, width), (rows, columns))


class _Disc:
    """Poisson discs of one size, drawn as `sigpy.mri.poisson` does, but at a given slope of the radius."""

    def __init__(self, shape: tuple[int, int], center: tuple[int, int]) -> None:
        self.shape, self.center = shape, center
        outside_center = [np.maximum(abs(np.arange(n) - n / 2) - c / 2, 0) for n, c in zip(shape, center, strict=True)]
        rows, columns = (axis_distance / max(axis_distance.max(), 1e-9) for axis_distance in outside_center)
        self.distance = np.hypot(rows[:, None], columns)
        self.outside = np.ones(shape, bool)
        self.outside[around_zero_frequency(shape[0], center[0]), around_zero_frequency(shape[1], center[1])] = False

    def draw(self, slope: float, seed: int) -> Array:
        rows, columns = self._radii(slope)
        # The private function, because the public one searches the slope itself.
        samp = require("sigpy.mri.samp", "a Poisson disc", "sigpy")
        points: Array = samp._poisson(self.shape[1], self.shape[0], ATTEMPTS, columns, rows, self.center, seed)
        points *= self.distance < 1
        return points

    def slope(self, count: float) -> float:
        """Return the slope at which discs have `count` points on average, calibrated on three discs."""
        filling = 0.75  # initial guess: number of points over the sum of 1 / (row radius * column radius)
        slope = self._slope_of_sum(count / filling)
        filling = float(np.mean([self.draw(slope, seed).sum() for seed in range(3)])) / self._sum(slope)
        return self._slope_of_sum(count / filling)

    def _radii(self, slope: float) -> list[Array]:
        return [np.maximum((1 + slope * self.distance) * n / max(self.shape), 1) for n in self.shape]

    def _sum(self, slope: float) -> float:
        rows, columns = self._radii(slope)
        return float(((self.distance < 1) / (rows * columns)).sum())

    def _slope_of_sum(self, target: float) -> float:
        low, high = 0.0, float(max(self.shape))
        if self._sum(low) <= target:
            return low
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (middle, high) if self._sum(middle) > target else (low, middle)
        return low
