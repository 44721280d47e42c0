"""ALPS with reference noise against recorded runs of the published code."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.operators import Blur, GaussianBlur, Inpainting, MultiCoilMRI
from alps_exp.operators.blur import line_kernel
from alps_exp.priors import Energy
from alps_exp.samplers import ALPS, KarrasSchedule
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Problem

TRACES = Path(__file__).parents[1] / "reference" / "alps_reference_traces.npz"
RECORDED = {name: torch.from_numpy(value) for name, value in np.load(TRACES).items()}
SCHEDULE = KarrasSchedule(10.0, 0.1, 6, 5.0, inner_steps=3)


class Replay:
    """Gives the recorded draws in their order."""

    num_samples = 1

    def __init__(self, draws):
        self.draws = iter(draws)

    def draw(self, x):
        return next(self.draws).reshape(1, *x.shape)


def psi(x, t):
    t = t[:, None, None, None]
    return x / (1 + t**2) + 0.2 * torch.tanh(x) * t / (1 + t)


class Traced:
    """Hands an operator's work on, and keeps its posterior means, which are what is recorded after each scale."""

    def __init__(self, operator):
        self.operator, self.means = operator, []

    def __getattr__(self, name):
        return getattr(self.operator, name)

    def posterior_mean(self, d, y, t):
        self.means.append(self.operator.posterior_mean(d, y, t))
        return self.means[-1]


class SolvedAsPublished(Traced):
    """Solves by conjugate gradients from d, of 50 iterations at most or to a residual of 1e-3."""

    def posterior_mean(self, d, y, t):
        eta, pulled = self.operator.noise_std, self.operator.adjoint(y)
        x = d if self.means else pulled.expand_as(d)
        r = p = pulled / eta**2 + d / t**2 - self.normal(x, t)
        for _ in range(50):
            curvature, before = (
                torch.linalg.vecdot(v.flatten(), w.flatten()).real for v, w in ((p, self.normal(p, t)), (r, r))
            )
            x, r = x + before / curvature * p, r - before / curvature * self.normal(p, t)
            if r.norm() < 1e-3:
                break
            p = r + r.norm() ** 2 / before * p
        self.means.append(x)
        return x

    def normal(self, x, t):
        return self.operator.normal(x) / self.operator.noise_std**2 + x / t**2


def published(operator, y, noise, solver=Traced):
    """Return the images after each scale and the last one."""
    traced, prior = solver(operator), BatchedPrior(Energy(psi), None)
    x = ALPS(SCHEDULE, "reference", "static").sample(Problem(prior, traced, y, Replay(noise))).x[0]
    return torch.cat([mean[0] for mean in traced.means[1:]])[SCHEDULE.inner_steps - 1 :: SCHEDULE.inner_steps], x


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
    scales, x = published(operator, RECORDED[f"{task}/y"], RECORDED[f"{task}/noise"])
    recorded, expected = RECORDED[f"{task}/x_after_each_scale"], RECORDED[f"{task}/x"]
    assert scales.shape == recorded.shape and scales.dtype == x.dtype == torch.float64
    assert ((scales - recorded).flatten(1).norm(dim=1) < 1e-5 * recorded.flatten(1).norm(dim=1)).all()
    assert (x - expected).norm() < 1e-5 * expected.norm()


def test_mri_agrees_within_the_tolerance_of_the_published_solver():
    maps, mask = RECORDED["mri/sensitivity_maps"], RECORDED["mri/mask"].real
    operator = MultiCoilMRI(mask, maps, noise_std=0.05)
    recorded, expected = RECORDED["mri/x_abs_after_each_scale"], RECORDED["mri/x"]
    _, x = published(operator, RECORDED["mri/kspace"], RECORDED["mri/noise"])
    assert (x - expected).norm() < 2e-2 * expected.norm()
    scales, x = published(operator, RECORDED["mri/kspace"], RECORDED["mri/noise"], SolvedAsPublished)
    differences = (scales.abs() - recorded).flatten(1).norm(dim=1) / recorded.flatten(1).norm(dim=1)
    assert (differences < 1e-5).all(), differences
    assert (x - expected).norm() < 1e-5 * expected.norm()
