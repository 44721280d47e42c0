"""The inference module by itself: how it measures, and what it says of estimates without a noise scale."""

import math

import pytest
import torch

from alps_exp.operators import Inpainting, LinearOperator
from alps_exp.priors import GaussianPrior
from alps_exp.reconstruction import SENSE
from alps_exp.restoration import Labels, Restoration, RestorationSettings
from alps_exp.samplers import ALPS, GeometricSchedule

SIDE = 12


class Fourier(LinearOperator):
    """The spectrum of a real image."""

    def forward(self, x):
        return torch.fft.fft2(x, norm="ortho")

    def adjoint(self, y):
        return torch.fft.ifft2(y, norm="ortho").real


def restore(sampler, operator, images):
    prior = GaussianPrior(torch.zeros(1, SIDE, SIDE), 0.25 * torch.eye(SIDE**2))
    settings = RestorationSettings(Labels("task", "operator", "sampler"), num_samples=2, seed=0)
    return Restoration(prior, operator, sampler, None, settings).restore(
        {"image": images, "image_id": [str(i) for i in range(len(images))]}
    )


@pytest.mark.parametrize("sampler", [SENSE(), ALPS(GeometricSchedule(3.0, 0.05, 5))], ids=["sense", "alps"])
def test_an_estimate_has_an_energy_where_its_sampler_ends_at_a_scale(sampler):
    results = restore(sampler, Inpainting(torch.ones(1, 1, SIDE, SIDE), 0.1), torch.zeros(1, 1, SIDE, SIDE))
    energies = [record.energy for record in results[0].records]
    assert all(record.status == "ok" for record in results[0].records)
    assert all(record.seconds > 0 and 50 < record.peak_memory_mib < 50_000 for record in results[0].records)
    assert all((energy is None) == isinstance(sampler, SENSE) for energy in energies)


def test_spread_and_error_are_told_without_the_noise_of_the_last_step_too():
    """Nothing is measured, and at the last scale t a chain N(0, c + t^2) has the mean c / (c + t^2) times it."""
    c, t = 0.25, 0.5
    sampler = ALPS(GeometricSchedule(20.0, t, 100))
    results = restore(sampler, Inpainting(torch.zeros(1, 1, SIDE, SIDE), 0.1), torch.zeros(40, 1, SIDE, SIDE))
    records = [result.records[0] for result in results]
    without = math.sqrt(sum(record.spread_noiseless**2 for record in records) / 40)
    of_both = math.sqrt(sum(record.spread**2 for record in records) / 40)
    variance = c**2 / (c + t**2)
    assert without == pytest.approx(math.sqrt(1.5 * variance), rel=0.03)
    assert of_both == pytest.approx(math.sqrt(1.5 * (variance + t**2)), rel=0.03)
    assert all(record.error_noiseless < record.error for record in records)


def test_complex_measurements_of_real_images_have_noise_in_both_parts():
    images = torch.zeros(20, 1, SIDE, SIDE)
    measured = [torch.as_tensor(r.measurement) for r in restore(SENSE(), Fourier(0.1), images)]
    noise = torch.stack(measured)
    assert noise.real.std() == pytest.approx(0.1, rel=0.05) and noise.imag.std() == pytest.approx(0.1, rel=0.05)


def test_a_truth_that_does_not_explain_its_data_flags_every_estimate_of_its_image():
    prior = GaussianPrior(torch.zeros(1, SIDE, SIDE), 0.25 * torch.eye(SIDE**2))
    settings = RestorationSettings(Labels("task", "operator", "sampler"), num_samples=2, seed=0)
    operator = Inpainting(torch.ones(1, 1, SIDE, SIDE), 0.1)
    module = Restoration(prior, operator, ALPS(GeometricSchedule(3.0, 0.05, 5)), None, settings)
    batch = {"image": torch.zeros(3, 1, SIDE, SIDE), "image_id": ["sound", "unsound", "unknown"]}
    batch |= {
        "truth_misfit": torch.tensor([1.0, 4.5, torch.nan]),
        "truth_residual": torch.tensor([0.1, 0.7, torch.nan]),
    }
    results = module.restore(batch | {"truth_sound": torch.tensor([True, False, True])})
    numbers = [(r.records[0].truth_misfit, r.records[0].truth_residual) for r in results]
    assert numbers == [(1.0, pytest.approx(0.1)), (4.5, pytest.approx(0.7)), (None, None)]
    assert [["truth" in record.flags for record in result.records] for result in results] == [
        [False] * 3,
        [True] * 3,
        [False] * 3,
    ]
