"""Sampling masks of Cartesian k-space, with zero frequency at H // 2, W // 2."""

from __future__ import annotations

import numpy as np

from alps_exp.data.kspace import central
from alps_exp.data.masks import Array, Mask
from alps_exp.packages import require


class _CartesianMask(Mask):
    """What the k-space masks share: how many samples to keep, and how many of them in the centre."""

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
                f"fewer than the {max(num_center, 1)} of the centre (center_fraction {self.center_fraction})"
            )


class CartesianMask1D(_CartesianMask):
    """Keeps columns of k-space: a fully sampled centre and others, exactly round(W / acceleration) in all.

    Parameters
    ----------
    acceleration
        Columns over columns kept, at least 1.
    center_fraction
        Fraction of the columns in the fully sampled centre.
    kind
        ``random``: the others are drawn uniformly; ``equispaced``: evenly spread over the columns outside the
        centre, with a random offset.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a parameter is out of range, or the centre alone exceeds what the acceleration keeps.
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
        columns[central(width, num_center)] = 1
        outside, wanted = np.flatnonzero(columns == 0), num_kept - num_center
        if self.kind == "random":
            chosen = rng.permutation(len(outside))[:wanted]
        else:
            chosen = ((np.arange(wanted) + rng.random()) * len(outside) / max(wanted, 1)).astype(int)
        columns[outside[chosen]] = 1
        return np.broadcast_to(columns, (height, width))


class CartesianMask2D(_CartesianMask):
    """Keeps points of k-space: a fully sampled centre and others, uniform; round(H W / acceleration) in all.

    Parameters
    ----------
    acceleration
        Points over points kept, at least 1.
    center_fraction
        Side of the fully sampled centre as a fraction of each side of k-space.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a parameter is out of range, or the centre alone exceeds what the acceleration keeps.
    """

    def __init__(self, acceleration: float, center_fraction: float = 0.08, seed: int = 0) -> None:
        super().__init__(acceleration, center_fraction, seed)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        rows, columns = (central(n, round(self.center_fraction * n)) for n in (height, width))
        mask = np.zeros((height, width))
        mask[rows, columns] = 1
        num_center, num_kept = int(mask.sum()), round(height * width / self.acceleration)
        self._check(num_center, num_kept)
        outside = np.flatnonzero(mask == 0)
        mask.flat[rng.permutation(outside)[: num_kept - num_center]] = 1
        return mask


class PoissonMask(_CartesianMask):
    """Keeps points of k-space no two of which are near: a variable-density Poisson disc around a full centre.

    The density falls with the distance from the centre; the corners are left out. The number of points is near
    H W / acceleration, to 0.1 in the acceleration (`MultiCoilMRI.acceleration` is the exact one).

    Parameters
    ----------
    acceleration
        Points over points kept, above 1.
    center_fraction
        Side of the fully sampled centre as a fraction of each side of k-space, in whole pairs of points.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a parameter is out of range, or no density gives the acceleration.

    References
    ----------
    Bridson, "Fast Poisson disk sampling in arbitrary dimensions", SIGGRAPH 2007; as `sigpy.mri.poisson`.
    """

    def __init__(self, acceleration: float, center_fraction: float = 0.08, seed: int = 0) -> None:
        super().__init__(acceleration, center_fraction, seed)
        if acceleration == 1:
            raise ValueError("acceleration must be above 1 for a Poisson disc, got 1")

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        centre = tuple(2 * round(self.center_fraction * n / 2) for n in (height, width))
        self._check(centre[0] * centre[1], round(height * width / self.acceleration))
        seed = int(rng.integers(2**31))
        mri = require("sigpy.mri", "a Poisson disc", "sigpy")
        return mri.poisson((height, width), self.acceleration, centre, dtype=np.float64, seed=seed)
