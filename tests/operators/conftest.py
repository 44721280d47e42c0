"""Fixtures of the operator tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from operator_cases import CASES, Case


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(scope="session")
def reference() -> dict[str, np.ndarray]:
    """Arrays recorded from the published ALPS code."""
    with np.load(Path(__file__).parents[1] / "reference" / "alps_reference_traces.npz") as archive:
        return dict(archive)
