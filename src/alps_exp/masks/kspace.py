"""Sampling masks of Cartesian k-space, with zero frequency at H // 2, W // 2."""

from __future__ import annotations

import numpy as np

from alps_exp.crops import around_zero_frequency
from alps_exp.masks.base import Array, Mask
from alps_exp.packages import require

ATTEMPTS = 30  # of a Poisson disc to find room beside a point
SURPLUS = 1.05


class _CartesianMask(Mask):
    """What the k-space masks share: how many samples to keep, and how many of them in the center."""

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
    """Keeps columns of k-space: a fully sampled center and others, exactly round(W / acceleration) in all.

    Parameters
    ----------
    acceleration
        Columns over columns kept, at least 1.
    center_fraction
        Fraction of the columns in the fully sampled center.
    kind
        ``random``: the others are drawn uniformly; ``equispaced``: evenly spread over the columns outside the
        center, with a random offset.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a parameter is out of range, or the center alone exceeds what the acceleration keeps.
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
        outside, wanted = np.flatnonzero(columns == 0), num_kept - num_center
        if self.kind == "random":
            chosen = rng.permutation(len(outside))[:wanted]
        else:
            chosen = ((np.arange(wanted) + rng.random()) * len(outside) / max(wanted, 1)).astype(int)
        columns[outside[chosen]] = 1
        return np.broadcast_to(columns, (height, width))


class CartesianMask2D(_CartesianMask):
    """Keeps points of k-space: a fully sampled center and others, uniform; round(H W / acceleration) in all.

    Parameters
    ----------
    acceleration
        Points over points kept, at least 1.
    center_fraction
        Side of the fully sampled center as a fraction of each side of k-space.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a parameter is out of range, or the center alone exceeds what the acceleration keeps.
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
    """Keeps points of k-space no two of which are near: a variable-density Poisson disc around a full center.

    Exactly round(H W / acceleration) points in all. The disc's radius grows as 1 + s r with the distance r from the
    center; the corners are left out. s is searched once for each H and W, for a few points more than are kept; random
    ones outside the center are then left out, which keeps the others apart.

    Parameters
    ----------
    acceleration
        Points over points kept, above 1.
    center_fraction
        Side of the fully sampled center as a fraction of each side of k-space, in whole pairs of points.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a parameter is out of range, or no disc is as dense as the acceleration asks.

    References
    ----------
    Bridson, "Fast Poisson disk sampling in arbitrary dimensions", SIGGRAPH 2007, as in `sigpy.mri.poisson`, whose own
    search draws ten times for each mask and gives up where the numbers of points, which scatter by 5 % at one s, miss
    the acceleration.
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
        while (mask := disc.draw(slope, int(rng.integers(2**31)))).sum() < num_kept:
            if slope == 0:
                raise ValueError(
                    f"acceleration {self.acceleration} keeps {num_kept} points of {height} x {width}, more than the "
                    f"{int(mask.sum())} of the densest Poisson disc: give a higher one"
                )
            slope = 0.95 * slope if slope > 0.01 else 0.0
        spare = np.flatnonzero((mask == 1) & disc.outside)
        mask.flat[rng.permutation(spare)[: int(mask.sum()) - num_kept]] = 0
        return mask

    def _disc(self, height: int, width: int) -> _Disc:
        rows, columns = (2 * round(self.center_fraction * n / 2) for n in (height, width))
        return _Disc((height, width), (rows, columns))


class _Disc:
    """Poisson discs of one size: `sigpy.mri.poisson` at a slope of the radius that is given."""

    def __init__(self, shape: tuple[int, int], center: tuple[int, int]) -> None:
        self.shape, self.center = shape, center
        beyond = [np.maximum(abs(np.arange(n) - n / 2) - c / 2, 0) for n, c in zip(shape, center, strict=True)]
        rows, columns = (one / max(one.max(), 1e-9) for one in beyond)
        self.distance = np.hypot(rows[:, None], columns)
        self.outside = np.ones(shape, bool)
        self.outside[around_zero_frequency(shape[0], center[0]), around_zero_frequency(shape[1], center[1])] = False

    def draw(self, slope: float, seed: int) -> Array:
        rows, columns = self._radii(slope)
        samp = require("sigpy.mri.samp", "a Poisson disc", "sigpy")
        mask = samp._poisson(self.shape[1], self.shape[0], ATTEMPTS, columns, rows, self.center, seed)
        return mask * (self.distance < 1)

    def slope(self, count: float) -> float:
        """Return the slope at which discs have `count` points on average, found with three of them."""
        filling = 0.75  # points of a disc over the sum of 1 / (radius of the rows * radius of the columns)
        slope = self._slope_of_sum(count / filling)
        filling = float(np.mean([self.draw(slope, seed).sum() for seed in range(3)])) / self._sum(slope)
        return self._slope_of_sum(count / filling)

    def _radii(self, slope: float) -> list[Array]:
        return [np.maximum((1 + slope * self.distance) * n / max(self.shape), 1) for n in self.shape]

    def _sum(self, slope: float) -> float:
        rows, columns = self._radii(slope)
        return float(((self.distance < 1) / (rows * columns)).sum())

    def _slope_of_sum(self, wanted: float) -> float:
        low, high = 0.0, float(max(self.shape))
        if self._sum(low) <= wanted:
            return low
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (middle, high) if self._sum(middle) > wanted else (low, middle)
        return low
