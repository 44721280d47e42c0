"""Validation of user-supplied values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from numbers import Real

MOST = 1_000_000
"""The largest number of steps, samples or images that is taken to be meant."""
LARGEST_SIDE = 16_384
"""The largest side of an image in pixels."""
MOST_PROCESSES = 512


def positive(name: str, value: float) -> float:
    """Return `value` as a float.

    Raises
    ------
    ValueError
        If it is not a positive finite number.
    """
    if not isinstance(value, Real) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)


def check_count(name: str, value: int, most: int = MOST, least: int = 1) -> int:
    """Return `value` unchanged if it is a number of things that can be done or held at all.

    Raises
    ------
    ValueError
        If it is below `least` or above `most`.
    """
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if value > most:
        raise ValueError(f"{name} must be at most {most:,}, got {value:,}")
    return value


def check_share(name: str, value: float) -> float:
    """Return `value` unchanged if it is a fraction.

    Raises
    ------
    ValueError
        If it is not in [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
    return value


def check_unique(image_ids: Sequence[str]) -> None:
    """Check that the image ids are unique.

    Raises
    ------
    ValueError
        If an id occurs more than once; the message names the first.
    """
    if len(set(image_ids)) < len(image_ids):
        duplicate = next(image_id for image_id, count in Counter(image_ids).items() if count > 1)
        raise ValueError(f"image id {duplicate!r} occurs more than once, expected a unique id for every image")
