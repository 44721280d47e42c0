"""Fixtures of the operator tests."""

from __future__ import annotations

import os
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
    path = os.environ.get("ALPS_REFERENCE")
    if path is None or not Path(path).is_file():
        pytest.skip("ALPS_REFERENCE does not name the file of recorded arrays of the published code")
    with np.load(path) as archive:
        return dict(archive)
