"""Flags of samples whose misfit or energy is not that of a posterior sample."""

import math

import pytest
import torch

from alps_exp.evaluation import estimate_flags
from alps_exp.operators import GaussianBlur, Inpainting, JointOperator, MultiCoilMRI


def test_numbers_of_a_posterior_sample_raise_no_flag():
    torch.manual_seed(0)
    measured = 200
    misfits = torch.randn(1000, measured).square().sum(1) / 2
    assert all(estimate_flags("sample", misfit, measured, 150.0, 300) == [] for misfit in misfits)


@pytest.mark.parametrize("measured", [50, 100_000])
def test_the_misfit_may_be_off_by_five_deviations_or_a_tenth(measured):
    allowed = max(5 * math.sqrt(2 * measured), measured / 10)
    for off, flags in ((0.99, []), (1.01, ["misfit"])):
        assert estimate_flags("sample", (measured + off * allowed) / 2, measured, None, 10) == flags
        assert estimate_flags("sample", (measured - off * allowed) / 2, measured, None, 10) == flags


def test_the_energy_may_be_off_by_a_factor_of_four():
    for factor, flags in ((0.24, ["energy"]), (0.26, []), (1.0, []), (3.9, []), (4.1, ["energy"])):
        assert estimate_flags("sample", 50, 100, factor * 30 / 2, 30) == flags
    assert estimate_flags("sample", 500, 100, 0.0, 30) == ["misfit", "energy"]


def test_nothing_measured_has_no_misfit_to_flag():
    assert estimate_flags("sample", 0.0, 0, None, 30) == []


def test_operators_count_the_real_numbers_that_they_measure():
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, 0, 0] = 1
    mask[1, 0, :2] = 1
    inpainting = Inpainting(mask, noise_std=0.1)
    assert inpainting.measured_count(torch.zeros(2, 3, 4, 4)).tolist() == [12, 24]
    blur = GaussianBlur(1.0, noise_std=0.1)
    assert blur.measured_count(torch.zeros(5, 2, 3, 4, 4)).tolist() == [[48, 48]] * 5
    maps = torch.ones(1, 5, 4, 4, dtype=torch.complex64)
    mri = MultiCoilMRI(mask, maps, noise_std=0.1)
    assert mri.measured_count(torch.zeros(2, 5, 4, 4, dtype=torch.complex64)).tolist() == [40, 80]
    joint = JointOperator([inpainting, blur], (3, 4, 4))
    assert joint.measured_count(torch.zeros(2, 1, 1, 96)).tolist() == [60, 72]
