"""Every sampler on every kind of operator, measurements of another shape and dtype than the image's among them."""

from pathlib import Path

import pytest
import torch
from gaussian_posterior import compare, measurement, random_prior, sampler_moments
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from alps_exp.evaluation import exact_posterior
from alps_exp.operators import (
    Denoising,
    GaussianBlur,
    Inpainting,
    JointOperator,
    LinearOperator,
    MultiCoilMRI,
    SuperResolution,
)
from alps_exp.priors import GaussianPrior, NullPrior
from alps_exp.randomness import measurement_noise
from alps_exp.reconstruction import SENSE, L1Wavelet, TotalVariation, ZeroFilled
from alps_exp.samplers import (
    ALPS,
    CSGM,
    DAPS,
    DDNM,
    DPS,
    MALA,
    MAP,
    MMPS,
    SMC,
    ULA,
    DiffPIR,
    GeometricSchedule,
    KarrasSchedule,
    PiGDM,
    PnPULA,
    REDDiff,
)

CONF = Path(__file__).parents[2] / "conf"
ETA = 0.05
REAL, COMPLEX = torch.float64, torch.complex128


class Grayscale(LinearOperator):
    """The mean over the color channels, as in the README."""

    def forward(self, x):
        return x.mean(-3, keepdim=True)

    def adjoint(self, y):
        return y.repeat(*(1,) * (y.ndim - 3), 3, 1, 1) / 3


class LowFrequencies(LinearOperator):
    """The lower half of a real image's spectrum: a complex measurement."""

    def __init__(self, width, noise_std):
        super().__init__(noise_std)
        self.width = width

    def forward(self, x):
        return torch.fft.rfft2(x, norm="ortho")[..., : self.width // 2]

    def adjoint(self, y):
        return torch.fft.ifft2(y, (y.shape[-2], self.width), norm="ortho").real


def columns(width):
    return (torch.arange(width) % 3 < 2).double().reshape(1, 1, 1, width)


def points(height, width):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(1, 1, height, width, generator=generator) < 0.6).double()


def maps(*shape):
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(1, *shape, dtype=COMPLEX, generator=generator)
    return values / values.abs().square().sum(-3, keepdim=True).sqrt()


def joint(channels, height, width):
    parts = [Inpainting(points(height, width), ETA), GaussianBlur(0.8, 2 * ETA)]
    return JointOperator(parts, (channels, height, width))


OPERATORS = {  # builds the operator for images (C, H, W); channels and dtype of the images
    "inpainting": (lambda c, h, w: Inpainting(points(h, w), ETA), 1, REAL),
    "blur": (lambda c, h, w: GaussianBlur(0.8, ETA), 1, REAL),
    "super-resolution": (lambda c, h, w: SuperResolution(2, ETA), 1, REAL),
    "bicubic": (lambda c, h, w: SuperResolution(2, ETA, "bicubic"), 1, REAL),
    "denoising": (lambda c, h, w: Denoising(ETA), 1, REAL),
    "joint": (joint, 1, REAL),
    "mri-lines": (lambda c, h, w: MultiCoilMRI(columns(w), maps(2, h, w), ETA), 1, COMPLEX),
    "mri-points": (lambda c, h, w: MultiCoilMRI(points(h, w), maps(2, h, w), ETA), 1, COMPLEX),
    "mri-sets": (lambda c, h, w: MultiCoilMRI(columns(w), maps(2, 3, h, w), ETA), 2, COMPLEX),
    "grayscale": (lambda c, h, w: Grayscale(ETA), 3, REAL),
    "fourier": (lambda c, h, w: LowFrequencies(w, ETA), 1, REAL),
}
SCALES, FEW = GeometricSchedule(3.0, 0.05, 8), KarrasSchedule(10.0, 0.1, 6, 7.0)
SAMPLERS = {
    "alps": ALPS(SCALES),
    "alps-independent": ALPS(SCALES, "independent"),
    "alps-static": ALPS(SCALES, annealing="static"),
    "alps-without-noise": ALPS(SCALES, "none"),
    "alps-without-final-noise": ALPS(SCALES, final_noise=False),
    "alps-reference": ALPS(SCALES, "reference", "static"),
    "alps-matched": ALPS(SCALES, moment_matching=2),
    "map": MAP(SCALES, max_iterations=3),
    "smc": SMC(GeometricSchedule(3.0, 0.05, 3)),
    "daps-exact": DAPS(FEW, ode_steps=1, langevin_steps=0),
    "daps-langevin": DAPS(FEW, 1, langevin_steps=10, step_size=1e-3, likelihood_std=None),
    "daps-published": DAPS(FEW, 1, langevin_steps=10, step_size=1e-3, likelihood_std=0.06),
    "dps": DPS(KarrasSchedule(20.0, 0.05, 20, 7.0), step_size=2.0),
    "diffpir": DiffPIR(SCALES),
    "pigdm": PiGDM(SCALES),
    "mmps": MMPS(SCALES),
    "ddnm": DDNM(SCALES),
    "red-diff": REDDiff(GeometricSchedule(3.0, 0.05, 20)),
    "csgm": CSGM(GeometricSchedule(3.0, 0.05, 25), step_size=0.4),
    "ula": ULA(GeometricSchedule(3.0, 0.05, 25)),
    "mala": MALA(GeometricSchedule(3.0, 0.05, 25)),
    "pnp-ula": PnPULA(GeometricSchedule(1.0, 0.2, 100), step_size=3.0, prior_kind="energy"),
    "zero-filled": ZeroFilled(),
    "sense": SENSE(0.01),
    "l1-wavelet": L1Wavelet(iterations=20),
    "total-variation": TotalVariation(iterations=20),
}
REFUSED = {  # what the operators lack, and what the message must name for a cure
    "alps-reference": ({"joint", "grayscale", "fourier"}, "another noise"),
    "daps-published": ({"joint"}, "likelihood_std"),
    "ddnm": ({"joint", "mri-points", "grayscale", "fourier"}, "without a pseudo-inverse"),
}
# Distance of the mean to the exact one, over that of the prior's mean; A^H y is no estimate, but has its units.
LIMITS = {"zero-filled": 1.2, "sense": 0.75, "l1-wavelet": 0.75}
SPREAD_RIGHT = {"alps", "alps-static", "alps-matched", "smc", "daps-exact"}
SMALL = {  # images (C, H, W) of which every number of every draw gets a chain of its own
    "super-resolution": (1, 4, 2),
    "bicubic": (1, 4, 2),
    "joint": (1, 2, 2),
    "mri-points": (1, 2, 2),
    "mri-sets": (2, 1, 3),
    "grayscale": (3, 1, 1),
    "fourier": (1, 2, 2),
}


def smooth_prior(channels, dtype, side=6):
    """Return N(0.3, C) whose pixels and channels are alike, so that what is not measured can be told from the rest."""
    place = torch.arange(side, dtype=REAL)
    near = torch.exp(-(place[:, None] - place).abs() / 3)
    alike = 0.6 + 0.4 * torch.eye(channels, dtype=REAL)
    covariance = torch.kron(alike, 0.25 * torch.kron(near, near)).to(dtype)
    return GaussianPrior(torch.full((channels, side, side), 0.3, dtype=dtype), covariance)


@pytest.fixture(scope="module")
def problems():
    """Return prior, operator, measurements of two images, and the means of their exact posteriors, by operator."""

    def problem(build, channels, dtype):
        prior = smooth_prior(channels, dtype)
        operator = build(*prior.mean.shape)
        truth = prior.sample(2, torch.Generator().manual_seed(0))
        y = operator.measure(truth, measurement_noise(0, ["a", "b"], operator.forward(truth)))
        return prior, operator, y, torch.stack([exact_posterior(prior, operator, y[i : i + 1]).mean for i in (0, 1)])

    return {name: problem(*arguments) for name, arguments in OPERATORS.items()}


def run(sampler, prior, operator, y, ids, count=4):
    return sampler(NullPrior() if sampler.prior_kind is None else prior, operator, y, count, image_ids=ids)


@pytest.mark.parametrize("operator_name", OPERATORS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_mean_comes_near_that_of_the_posterior(problems, name, operator_name):
    """For each image as if it were alone."""
    sampler, (prior, operator, y, exact) = SAMPLERS[name], problems[operator_name]
    refused, cure = REFUSED.get(name, ((), ""))
    if operator_name in refused:
        with pytest.raises(ValueError, match=cure):
            run(sampler, prior, operator, y, ["a", "b"])
        return
    estimates = run(sampler, prior, operator, y, ["a", "b"], count=16)
    assert estimates.samples.shape == (16, *exact.shape) and estimates.samples.dtype == exact.dtype
    distance, at_first = (torch.linalg.vector_norm(x - exact, dim=(1, 2, 3)) for x in (estimates.mean, prior.mean))
    assert torch.all(distance < LIMITS.get(name, 0.7) * at_first)
    if name in SPREAD_RIGHT:
        misfits = 2 * operator.misfit(estimates.samples, y) / operator.measured_count(y)
        assert 0.7 < misfits.mean() < 1.4
    alone = run(sampler, prior, operator, y[1:], ["b"], count=16)
    torch.testing.assert_close(alone.samples[:, 0], estimates.samples[:, 1], rtol=1e-8, atol=1e-8)


def ratios_of_deviations(sampler, name):
    """Return the sampler's standard deviations over the posterior's, and the mean's error, both exact."""
    build, channels, dtype = OPERATORS[name]
    prior = random_prior(dtype, shape=SMALL.get(name, (channels, 2, 3)))
    operator = build(*prior.mean.shape)
    y = measurement(operator, prior)
    exact = exact_posterior(prior, operator, y)
    return compare(sampler_moments(sampler, prior, operator, y), (exact.mean.flatten(), exact.covariance))


@pytest.mark.parametrize("name", OPERATORS)
def test_the_settings_of_alps_teacher_give_the_posterior(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        sampler = instantiate(compose(overrides=["+sampler=alps_teacher"]).sampler)
    ratios, error = ratios_of_deviations(sampler, name)
    assert 0.95 <= ratios.min() and ratios.max() <= 1.05
    assert error < 0.1


@pytest.mark.parametrize(("annealing", "widest"), [("diffused", 1.07), ("static", 1.05)])
@pytest.mark.parametrize("name", OPERATORS)
def test_calibrated_noise_gives_the_posterior(name, annealing, widest):
    ratios, error = ratios_of_deviations(ALPS(GeometricSchedule(5.0, 0.02, 100), "calibrated", annealing), name)
    assert 0.95 <= ratios.min() and ratios.max() <= widest
    assert error < 0.25


def test_measurements_of_other_dimensions_are_refused():
    class Flat(Denoising):
        def forward(self, x):
            return x.flatten(-3)

    y = Flat(ETA).forward(torch.zeros(2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"4 dimensions.* \(2, 16\)"):
        run(ALPS(SCALES), smooth_prior(1, REAL), Flat(ETA), y, ["a", "b"])
