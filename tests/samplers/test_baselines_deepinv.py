"""Baselines against those of deepinv (>= 0.5) on a Gaussian prior, and what deepinv does otherwise.

deepinv evaluates denoisers in float32.
"""

import math

import pytest
import torch
from gaussian_posterior import PIXELS, SIDE, measurement, operator_named, random_prior

from alps_exp.priors import GaussianPrior
from alps_exp.samplers import CSGM, MMPS, ExplicitSchedule, GeometricSchedule, PiGDM
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Problem

deepinv = pytest.importorskip("deepinv", minversion="0.5", reason="deepinv >= 0.5 is not installed")

OPERATORS = ["inpainting", "blur"]
SCALES = GeometricSchedule(5.0, 0.02, 15)


class Teacher(deepinv.models.Denoiser):
    """m + C (C + sigma^2 I)^(-1) (x - m), written out anew."""

    def __init__(self, prior):
        super().__init__()
        self.mean, self.covariance = prior.mean.flatten().float(), prior.covariance.float()

    def forward(self, x, sigma, **kwargs):
        noise = sigma.flatten()[0] ** 2 * torch.eye(PIXELS)
        gain = torch.linalg.solve(self.covariance + noise, self.covariance)
        return (self.mean + (x.flatten(1) - self.mean) @ gain).reshape(x.shape)


class Recorded:
    """The start that is given, and then the draws of a seeded generator."""

    def __init__(self, start, scale):
        self.num_samples, self.draws = len(start), iter([start / scale])
        self.generator = torch.Generator().manual_seed(0)

    def draw(self, x):
        start = next(self.draws, None)
        shape = (self.num_samples, *x.shape[1:])
        draw = torch.randn(shape, dtype=x.dtype, generator=self.generator) if start is None else start
        return draw[:, None]


def problem(name, prior=None):
    operator, dtype = operator_named(name)
    prior = prior or random_prior(dtype)
    y = measurement(operator, prior)
    torch.manual_seed(3)
    return prior, operator, y, torch.randn(4, 1, SIDE, SIDE, dtype=dtype)


def physics_of(operator, noise_std):
    return deepinv.physics.LinearPhysics(
        A=lambda x, **kwargs: operator.forward(x),
        A_adjoint=lambda v, **kwargs: operator.adjoint(v),
        noise_model=deepinv.physics.GaussianNoise(noise_std),
        img_size=(1, SIDE, SIDE),
    )


def deepinv_sample(data_fidelity, prior, operator, y, x, scales, eta):
    """Return where deepinv's variance-exploding ancestral sampler takes x (N, 1, H, W) through the scales."""
    sampler = deepinv.sampling.PosteriorDiffusion(
        data_fidelity,
        Teacher(prior),
        deepinv.sampling.EDMDiffusionSDE(lambda t: t, variance_exploding=True),
        deepinv.sampling.AncestralSolver(
            timesteps=torch.tensor(scales, dtype=torch.float64),
            eta=eta,
            rng=torch.Generator().manual_seed(0),
        ),
        minus_one_one=False,
    )
    rows = y.expand(len(x), *y.shape[1:])
    return sampler(rows, physics_of(operator, operator.noise_std), x_init=x.clone(), denoise_output=False).detach()


def our_sample(sampler, prior, operator, y, x):
    noise = Recorded(x, sampler.schedule()[0])
    return sampler.sample(Problem(BatchedPrior(prior, None), operator, y, noise)).x[:, 0]


def assert_close(ours, theirs, tolerance=3e-4):
    assert (ours - theirs).norm() < tolerance * theirs.norm()


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_pigdm_by_the_score_takes_the_same_path(name, eta):
    prior, operator, y, x = problem(name)
    ours = our_sample(PiGDM(SCALES, eta, adaptive_weight=False), prior, operator, y, 5 * x)
    fidelity = deepinv.sampling.PiGDMDataFidelity(cg_max_iter=30, cg_tol=1e-7)
    assert_close(ours, deepinv_sample(fidelity, prior, operator, y, 5 * x, [*SCALES(), 0.0], eta))


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("name", OPERATORS)
def test_mmps_takes_the_same_path(name, iterations):
    prior, operator, y, x = problem(name)
    ours = our_sample(MMPS(SCALES, iterations), prior, operator, y, 5 * x)
    fidelity = deepinv.sampling.MomentMatchingDataFidelity(cg_max_iter=iterations, cg_tol=1e-9)
    assert_close(ours, deepinv_sample(fidelity, prior, operator, y, 5 * x, [*SCALES(), 0.0], 1.0), 1e-3)


@pytest.mark.parametrize("name", OPERATORS)
def test_csgm_follows_the_same_likelihood(name):
    prior, operator, y, x = problem(name)
    t, step_size = 0.4, 0.1
    fidelity = deepinv.sampling.ALDDataFidelity()
    theirs = fidelity.grad(x, y, physics_of(operator, operator.noise_std), sigma=torch.tensor(t, dtype=torch.float64))
    schedule = ExplicitSchedule((t, 1e-6), (1, 1))
    moved = our_sample(CSGM(schedule, step_size), prior, operator, y, x)
    draws = Recorded(x, t)
    noise = [draws.draw(x[:1])[:, 0] for _ in range(2)][1]
    score = (Teacher(prior)(x.float(), torch.tensor(t)).double() - x) / t**2 - theirs
    assert_close(moved, x + step_size * t**2 * score + math.sqrt(2 * step_size) * t * noise)


def residual_direction(operator, y):
    def direction(d):
        residual = y - operator.forward(d)
        return operator.adjoint(residual / residual.flatten(1).norm(dim=1)[:, None, None, None])

    return direction


@pytest.mark.parametrize("name", OPERATORS)
def test_dps_has_the_same_direction_but_deepinv_takes_a_shorter_step(name):
    """As a score of weight 1 the gradient moves x by t^2 - s^2, where the paper's step is 1 for zeta = 1."""
    prior, operator, y, x = problem(name)
    t, s = 0.1, 0.08
    _, ours = prior.denoise_and_apply_vjp(x, t, residual_direction(operator, y))
    theirs = deepinv.sampling.DPSDataFidelity(Teacher(prior)).grad(
        x.clone(), y, physics_of(operator, operator.noise_std), sigma=torch.tensor(t, dtype=torch.float64)
    )
    assert_close(ours, -theirs, 1e-3)
    plain, guided = (
        deepinv_sample(deepinv.sampling.DPSDataFidelity(weight=w), prior, operator, y, x, (t, s), 1.0)
        for w in (0.0, 1.0)
    )
    assert_close((t**2 - s**2) * ours, guided - plain, 1e-3)
    published = math.sqrt((1 + t**2) * (1 + s**2))
    assert (guided - plain).norm() < 0.004 * (published * ours).norm()


@pytest.mark.parametrize(("minus_one_one", "std"), [(False, 1.0), (True, 2.0)])
def test_pigdm_of_deepinv_in_its_default_range_takes_a_width_twice_the_papers(minus_one_one, std):
    """There r_t belongs to a standard deviation of 1 of images in [0, 1]; the paper's are in [-1, 1]."""
    unit = GaussianPrior(torch.zeros(1, SIDE, SIDE, dtype=torch.float64), torch.eye(PIXELS, dtype=torch.float64))
    prior, operator, y, x = problem("inpainting", unit)
    t = 1.5
    teacher = Teacher(prior)
    if minus_one_one:
        in_range, y_in_range = UnitRange(teacher), (y + operator.forward(torch.ones_like(y))) / 2
    else:
        in_range, y_in_range = teacher, y
    sampler = deepinv.sampling.PosteriorDiffusion(
        deepinv.sampling.PiGDMDataFidelity(cg_max_iter=30, cg_tol=1e-7),
        in_range,
        deepinv.sampling.EDMDiffusionSDE(lambda t: t, variance_exploding=True),
        deepinv.sampling.AncestralSolver(timesteps=torch.tensor([t, 0.0])),
        minus_one_one=minus_one_one,
    )
    noise = operator.noise_std / (2 if minus_one_one else 1)
    time = torch.tensor(t, dtype=torch.float64)
    score = sampler.score(y_in_range, physics_of(operator, noise), x, time).detach()
    r = std * t / math.hypot(std, t)
    d, vjp = prior.denoise_with_vjp(x, t)
    pulled = vjp(operator.solve(operator.adjoint(y - operator.forward(d)), r))
    assert_close(pulled / r**2, score - (d - x) / t**2)


class UnitRange(deepinv.models.Denoiser):
    """A denoiser of images in [-1, 1] for images in [0, 1]."""

    def __init__(self, teacher):
        super().__init__()
        self.teacher = teacher

    def forward(self, x, sigma, **kwargs):
        return (self.teacher(2 * x - 1, 2 * sigma) + 1) / 2
