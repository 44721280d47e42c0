"""The order of samplers in tables and figures: the package's own first, then the baselines by name."""

from __future__ import annotations

_OWN = ("alps", "alps_teacher", "alps_paper", "map")


def sampler_order(sampler: str) -> tuple[int, str]:
    """Return the sort key of a sampler's name."""
    return (_OWN.index(sampler) if sampler in _OWN else len(_OWN), sampler)
