"""The mean of the gap over log-uniform sigma."""

import math

import pytest
import torch

from alps_exp.training.base import VALIDATION_SIGMAS
from alps_exp.training.gap import mean_gap


def test_a_gap_that_is_linear_in_log_sigma_has_its_exact_mean():
    gaps = torch.tensor([0.3 - 0.1 * math.log(sigma) for sigma in VALIDATION_SIGMAS])
    references = torch.tensor(VALIDATION_SIGMAS).square()
    expected = 0.3 - 0.1 * (math.log(0.05) + math.log(10)) / 2
    assert float(mean_gap(gaps.square() * references, references, VALIDATION_SIGMAS)) == pytest.approx(expected)


def test_the_shipped_energy_of_faces_has_the_gap_that_is_told_of_it():
    gaps = torch.tensor([0.109, 0.090, 0.077, 0.057, 0.035, 0.021, 0.013, 0.008])
    assert float(mean_gap(gaps.square(), torch.ones(8), VALIDATION_SIGMAS)) == pytest.approx(0.0496, abs=2e-4)
