"""Checks of the numbers that a request gives."""

from __future__ import annotations

import math
from numbers import Real


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


def check_share(name: str, value: float) -> float:
    """Return `value`.

    Raises
    ------
    ValueError
        If it is not in [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
    return value
