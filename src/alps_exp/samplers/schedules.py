"""Noise schedules: decreasing lists of noise scales."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alps_exp.checks import check_count


@dataclass(frozen=True)
class GeometricSchedule:
    """`steps` scales with a constant ratio, from `sigma_max` down to `sigma_min`.

    Parameters
    ----------
    sigma_max
        Largest scale, in the units of the images. About five times their standard deviation is safe.
    sigma_min
        Smallest scale, above 0. Choose it well below the smallest relevant detail.
    steps
        Number of scales, at least 2.

    Raises
    ------
    ValueError
        If not 0 < sigma_min < sigma_max, or steps < 2.

    Examples
    --------
    >>> GeometricSchedule(sigma_max=4.0, sigma_min=0.25, steps=3)()
    [4.0, 1.0, 0.25]
    """

    sigma_max: float = 5.0
    sigma_min: float = 0.03
    steps: int = 50

    def __post_init__(self) -> None:
        _check(self.sigma_max, self.sigma_min, self.steps)

    def __call__(self) -> list[float]:
        """Return the scales."""
        ratio = self.sigma_min / self.sigma_max
        return [self.sigma_max * ratio ** (i / (self.steps - 1)) for i in range(self.steps)]


@dataclass(frozen=True)
class KarrasSchedule:
    """Scales whose rho-th roots are equally spaced, each repeated `inner_steps` times.

    The published ALPS uses sigma_max 100, sigma_min 0.1, rho 5, 50 scales and 5 inner steps (Chand & Jacob 2026);
    EDM (Karras et al. 2022, equation 5) and DAPS use rho 7.

    Parameters
    ----------
    sigma_max, sigma_min
        As in `GeometricSchedule`.
    scales
        Number of different scales, at least 2.
    rho
        Order of the roots, above 0. A larger rho places more of the scales near sigma_min.
    inner_steps
        Number of consecutive steps at each scale, at least 1.

    Raises
    ------
    ValueError
        If not 0 < sigma_min < sigma_max, scales < 2, rho <= 0, or inner_steps < 1.

    Examples
    --------
    >>> [round(t, 2) for t in KarrasSchedule(sigma_max=4.0, sigma_min=1.0, scales=3, rho=2.0)()]
    [4.0, 2.25, 1.0]
    """

    sigma_max: float = 100.0
    sigma_min: float = 0.1
    scales: int = 50
    rho: float = 5.0
    inner_steps: int = 1

    def __post_init__(self) -> None:
        _check(self.sigma_max, self.sigma_min, self.scales)
        if self.rho <= 0 or self.inner_steps < 1:
            raise ValueError(f"rho must be positive and inner_steps at least 1, got {self.rho} and {self.inner_steps}")
        check_count("steps of a schedule", self.scales * self.inner_steps)

    def __call__(self) -> list[float]:
        """Return the scales."""
        first, last = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        roots = [first + i / (self.scales - 1) * (last - first) for i in range(self.scales)]
        return [root**self.rho for root in roots for _ in range(self.inner_steps)]


@dataclass(frozen=True)
class ExplicitSchedule:
    """An explicit list of scales, with a number of steps for each.

    Parameters
    ----------
    scales
        Positive and strictly decreasing scales, at least 2, in the units of the images.
    steps
        Number of consecutive steps at each scale, at least 1; as many numbers as scales.

    Raises
    ------
    ValueError
        If there are fewer than 2 scales, they are not positive and strictly decreasing, or `steps` does not hold one
        number >= 1 per scale.

    Examples
    --------
    >>> ExplicitSchedule(scales=(2.0, 1.0), steps=(1, 3))()
    [2.0, 1.0, 1.0, 1.0]
    """

    scales: tuple[float, ...]
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        _check(max(self.scales, default=0), min(self.scales, default=0), len(self.scales))
        if any(a <= b for a, b in zip(self.scales, self.scales[1:], strict=False)):
            raise ValueError(f"scales must decrease, got {list(self.scales)}")
        if len(self.steps) != len(self.scales) or min(self.steps) < 1:
            raise ValueError(f"expected a number of steps >= 1 for each of {len(self.scales)} scales, got {self.steps}")
        check_count("steps of a schedule", sum(self.steps))

    def __call__(self) -> list[float]:
        """Return the scales."""
        return [float(t) for t, count in zip(self.scales, self.steps, strict=True) for _ in range(count)]


Schedule = GeometricSchedule | KarrasSchedule | ExplicitSchedule


def with_next(scales: list[float]) -> list[tuple[float, float]]:
    """Pair each scale with the next one, and the last scale with itself."""
    return list(zip(scales, [*scales[1:], scales[-1]], strict=True))


def to_zero(scales: list[float]) -> list[tuple[float, float]]:
    """Pair each scale with the next one, and the last scale with zero."""
    return list(zip(scales, [*scales[1:], 0.0], strict=True))


def _check(sigma_max: float, sigma_min: float, steps: int) -> None:
    if not (0 < sigma_min < sigma_max and math.isfinite(sigma_max)):
        raise ValueError(f"a schedule needs 0 < sigma_min < sigma_max, got {sigma_min} and {sigma_max}")
    if steps < 2:
        raise ValueError(f"a schedule needs at least 2 scales, got {steps}")
    check_count("steps of a schedule", steps)
