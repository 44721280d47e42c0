"""ALPS with reference noise against recorded runs of the published code."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.operators import Blur, GaussianBlur, Inpainting, MultiCoilMRI
from alps_exp.operators.blur import line_kernel
from alps_exp.priors import Energy
from alps_exp.samplers import ALPS, Polynomial
from alps_exp.samplers.base import InMicroBatches

TRACES = Path(__file__).parents[1] / "reference" / "alps_reference_traces.npz"
RECORDED = {name: torch.from_numpy(value) for name, value in np.load(TRACES).items()}
SCHEDULE = Polynomial(10.0, 0.1, 6, 5.0, inner_steps=3)


class Replay:
    """Gives the recorded draws in their order."""

    num_samples = 1

    def __init__(self, draws):
        self.draws = iter(draws)

    def like(self, x):
        return next(self.draws).reshape(1, *x.shape)


def psi(x, t):
    t = t[:, None, None, None]
    return x / (1 + t**2) + 0.2 * torch.tanh(x) * t / (1 + t)


def published(operator, y, noise):
    prior = InMicroBatches(Energy(psi), None)
    return ALPS(SCHEDULE, "reference", "static").sample(prior, operator, y, Replay(noise))[0][0]


def test_the_schedule_is_the_recorded_one():
    assert np.allclose(SCHEDULE()[::3], RECORDED["t"], rtol=1e-12)


@pytest.mark.parametrize(
    ("task", "operator"),
    [
        ("inpainting", Inpainting(RECORDED["inpainting/mask"], noise_std=0.1)),
        ("gaussian_blur", GaussianBlur(1.5, noise_std=0.05)),
        ("motion_blur", Blur(line_kernel(5, 30, 12, 12), noise_std=0.05)),
    ],
)
def test_recorded_draws_give_the_recorded_image(task, operator):
    x = published(operator, RECORDED[f"{task}/y"], RECORDED[f"{task}/noise"])
    expected = RECORDED[f"{task}/x"]
    assert (x - expected).norm() < 1e-5 * expected.norm()


def test_mri_agrees_within_the_tolerance_of_the_published_solver():
    maps, mask = RECORDED["mri/sensitivity_maps"], RECORDED["mri/mask"].real
    operator = MultiCoilMRI(mask, maps, noise_std=0.05)
    x = published(operator, RECORDED["mri/kspace"], RECORDED["mri/noise"])
    expected = RECORDED["mri/x"]
    assert (x - expected).norm() < 2e-2 * expected.norm()
