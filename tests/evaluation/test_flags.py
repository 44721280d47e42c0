"""Flags of estimates whose misfit or energy is not that of what they are called."""

import math

import pytest
import torch

from alps_exp.evaluation import estimate_flags
from alps_exp.operators import GaussianBlur, Inpainting, JointOperator, MultiCoilMRI

ESTIMATES = ("sample", "mmse", "map", "point")


def test_numbers_of_a_posterior_sample_raise_no_flag():
    torch.manual_seed(0)
    measured = 200
    misfits = torch.randn(1000, measured).square().sum(1) / 2
    assert all(estimate_flags(e, misfit, measured, 150.0, 300) == [] for misfit in misfits for e in ESTIMATES)


@pytest.mark.parametrize("measured", [50, 100_000])
def test_the_misfit_may_be_off_by_five_deviations_or_a_tenth(measured):
    allowed = max(5 * math.sqrt(2 * measured), measured / 10)
    for estimate in ESTIMATES:
        for off, flags in ((0.99, []), (1.01, ["misfit"])):
            assert estimate_flags(estimate, (measured + off * allowed) / 2, measured, None, 10) == flags
            below = flags if estimate == "sample" else []
            assert estimate_flags(estimate, (measured - off * allowed) / 2, measured, None, 10) == below


def test_only_a_sample_must_misfit_the_data_at_all():
    assert [estimate_flags(e, 0.0, 1000, None, 10) for e in ESTIMATES] == [["misfit"], [], [], []]


@pytest.mark.parametrize("prior_width", [0.1, 1.0, 10.0])
def test_exact_posterior_means_and_samples_raise_no_flag(prior_width):
    """y = x + eta e, x of N(0, s^2): the mean misfits by (eta^2 / (s^2 + eta^2)) m, from nearly nothing to nearly m."""
    generator = torch.Generator().manual_seed(0)
    m, eta = 400, 1.0
    normal = torch.randn(5, 500, m, generator=generator, dtype=torch.float64)
    y = prior_width * normal[0] + eta * normal[1]
    gain = prior_width**2 / (prior_width**2 + eta**2)
    samples = gain * y + gain**0.5 * eta * normal[2:]

    def misfits(x):
        return (y - x).square().sum(-1) / (2 * eta**2)

    expected = (1 - gain) * m / 2
    assert misfits(gain * y).mean() == pytest.approx(expected, rel=0.02)
    for estimate, x in (("sample", samples[0]), ("mmse", samples.mean(0)), ("map", gain * y), ("mmse", gain * y)):
        flagged = [flags for misfit in misfits(x) if (flags := estimate_flags(estimate, misfit, m, None, m))]
        assert not flagged, estimate


@pytest.mark.parametrize(
    ("estimate", "low", "high"),
    [("sample", ["energy"], ["energy"]), ("mmse", [], []), ("map", [], ["energy"]), ("point", [], [])],
)
def test_the_energy_may_be_off_by_a_factor_of_four(estimate, low, high):
    for factor, flags in ((0.24, low), (0.26, []), (1.0, []), (3.9, []), (4.1, high)):
        assert estimate_flags(estimate, 50, 100, factor * 30 / 2, 30) == flags


def test_what_did_not_converge_is_told_with_the_rest():
    assert estimate_flags("sample", 500, 100, 0.0, 30) == ["misfit", "energy"]
    for estimate in ESTIMATES:
        assert estimate_flags(estimate, 50, 100, None, 30, converged=False) == ["convergence"]
    assert estimate_flags("map", 50, 100, None, 30, converged=False, saddle=True) == ["convergence", "saddle"]
    assert estimate_flags("map", 806_428, 107_520, None, 30, converged=False) == ["misfit", "convergence"]


def test_nothing_measured_has_no_misfit_to_flag():
    assert [estimate_flags(e, 0.0, 0, None, 30) for e in ESTIMATES] == [[]] * 4


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
