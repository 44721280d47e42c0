"""Exact posteriors and evidences against quadrature, dense formulas and conditional samples."""

import math

import pytest
import torch

from alps_exp.evaluation import compare_with_exact, exact_posterior
from alps_exp.operators import GaussianBlur, Inpainting, MultiCoilMRI
from alps_exp.priors import GaussianMixturePrior, GaussianPrior

ETA = 0.3


def mixture(weights, means, covariances, shape):
    means = torch.tensor(means, dtype=torch.float64).reshape(len(weights), *shape)
    return GaussianMixturePrior(torch.tensor(weights).double(), means, torch.tensor(covariances).double())


def test_the_weight_of_the_further_mode_in_one_dimension():
    """Modes at -1 and 1 of variance 0.02, y = 0.1, eta = 0.3: 0.14 by quadrature of each mode's evidence."""
    prior = mixture([0.5, 0.5], [-1.0, 1.0], [[[0.02]], [[0.02]]], (1, 1, 1))
    operator = Inpainting(torch.ones(1, 1, 1, 1), ETA)
    y = torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)
    posterior = exact_posterior(prior, operator, y)
    x = torch.linspace(-4, 4, 40001, dtype=torch.float64)
    modes = [0.5 * normal(x, m, 0.02) * normal(y.squeeze(), x, ETA**2) for m in (-1, 1)]
    masses = torch.stack([torch.trapezoid(mode, x) for mode in modes])
    assert posterior.weights[0] == pytest.approx(0.14, abs=5e-4)
    assert torch.allclose(posterior.weights, masses / masses.sum(), atol=1e-9)
    assert torch.allclose(posterior.log_evidence, masses.sum().log(), atol=1e-9)
    mean = torch.trapezoid(x * sum(modes), x) / masses.sum()
    variance = torch.trapezoid((x - mean) ** 2 * sum(modes), x) / masses.sum()
    assert torch.allclose(posterior.mean.squeeze(), mean) and torch.allclose(posterior.covariance.squeeze(), variance)


def normal(x, mean, variance):
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


@pytest.mark.parametrize("measured", [[1, 1], [1, 0]])
@pytest.mark.parametrize("sigma", [0.0, 0.25])
def test_two_dimensions_by_quadrature(measured, sigma):
    covariances = [[[0.3, 0.1], [0.1, 0.1]], [[0.1, -0.05], [-0.05, 0.2]]]
    prior = mixture([0.2, 0.8], [[-0.5, 0.4], [0.6, 0.3]], covariances, (1, 1, 2))
    operator = Inpainting(torch.tensor(measured).reshape(1, 1, 1, 2), ETA)
    y = operator.forward(torch.tensor([0.1, -0.2], dtype=torch.float64).reshape(1, 1, 1, 2))
    posterior = exact_posterior(prior, operator, y, sigma)

    axis = torch.linspace(-4, 4, 801, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    identity = torch.eye(2, dtype=torch.float64)
    seen = [normal(value, x[:, i], ETA**2) for i, value in enumerate(y.flatten()) if measured[i]]
    likelihood = torch.stack(seen).prod(0) * (axis[1] - axis[0]) ** 2
    components = zip(prior.weights, prior.means, torch.tensor(covariances).double() + sigma**2 * identity, strict=True)
    densities = [w * torch.distributions.MultivariateNormal(m.flatten(), c).log_prob(x).exp() for w, m, c in components]
    joint = torch.stack(densities) * likelihood
    masses, total = joint.sum(1), joint.sum()
    mean = (joint.sum(0)[:, None] * x).sum(0) / total
    centered = x - mean
    covariance = (joint.sum(0)[:, None] * centered).mT @ centered / total
    assert torch.allclose(posterior.weights, masses / total, atol=1e-8)
    assert torch.allclose(posterior.log_evidence, total.log(), atol=1e-8)
    assert torch.allclose(posterior.mean.flatten(), mean, atol=1e-8)
    assert torch.allclose(posterior.covariance, covariance, atol=1e-8)


def operators():
    torch.manual_seed(1)
    mask = (torch.rand(1, 1, 3, 3) < 0.5).float()
    maps = torch.randn(1, 2, 3, 3, dtype=torch.complex128)
    return {
        "inpainting": (Inpainting(mask, 0.05), torch.float64),
        "blur": (GaussianBlur(0.8, 0.05), torch.float64),
        "mri": (MultiCoilMRI(mask, maps, 0.05), torch.complex128),
    }


@pytest.mark.parametrize("name", operators())
def test_conditioning_the_joint_gaussian_of_image_and_measurement(name):
    """Another route: p(x | y) and p(y) from the covariance of (x, y), as real vectors."""
    operator, dtype = operators()[name]
    torch.manual_seed(2)
    roots, means = torch.randn(2, 9, 9, dtype=dtype), torch.randn(2, 1, 3, 3, dtype=dtype)
    covariances = roots @ roots.mH / 9
    prior = GaussianMixturePrior(torch.tensor([0.4, 0.6]).double(), means, covariances)
    shape = operator.measurement_shape((1, 1, 3, 3))
    noise = torch.randn(shape, dtype=dtype) * (2**0.5 if dtype.is_complex else 1)
    y = operator.measure(prior.sample(1, torch.Generator().manual_seed(3)), noise)
    posterior = exact_posterior(prior, operator, y)

    units = torch.eye(9, dtype=dtype).reshape(9, 1, 1, 3, 3)
    matrix = operator.forward(units).reshape(9, -1).mT
    rows = matrix.abs().sum(1) > 0
    matrix, seen = matrix[rows], y.flatten()[rows]
    log_terms = []
    for k in range(2):
        covariance = matrix @ covariances[k] @ matrix.mH + 0.05**2 * torch.eye(len(seen))
        gain = covariances[k] @ matrix.mH @ torch.linalg.inv(covariance)
        innovation = seen - matrix @ means[k].flatten()
        assert torch.allclose(posterior.means[k].flatten(), means[k].flatten() + gain @ innovation)
        component = posterior.axes[k] * posterior.variances[k] @ posterior.axes[k].mH
        assert torch.allclose(component, covariances[k] - gain @ matrix @ covariances[k])
        quadratic = torch.vdot(innovation, torch.linalg.solve(covariance, innovation)).real / 2
        parts = 2 if dtype.is_complex else 1
        log_terms.append(prior.weights[k].log() - quadratic - parts / 2 * torch.logdet(2 * math.pi * covariance).real)
    log_terms = torch.stack(log_terms)
    assert torch.allclose(posterior.log_evidence, log_terms.logsumexp(0))
    assert torch.allclose(posterior.weights, log_terms.softmax(0))


def test_a_prior_with_no_width_in_some_direction_stays_in_its_subspace():
    prior = GaussianPrior(torch.zeros(1, 1, 2).double(), torch.tensor([[1.0, 1.0], [1.0, 1.0]]).double())
    operator = Inpainting(torch.tensor([[[[1, 0]]]]), 0.5)
    posterior = exact_posterior(prior, operator, torch.tensor([[[[1.0, 0.0]]]]).double())
    assert torch.allclose(posterior.mean.flatten(), torch.full((2,), 0.8).double())
    assert torch.allclose(posterior.covariance, torch.full((2, 2), 0.2).double())


def test_float32_priors_give_float64_posteriors():
    prior = GaussianPrior(torch.zeros(1, 3, 3), torch.eye(9))
    posterior = exact_posterior(prior, GaussianBlur(1.0, 0.1), torch.ones(1, 1, 3, 3))
    assert posterior.mean.dtype == posterior.log_evidence.dtype == torch.float64
    assert posterior.sample(3, torch.Generator()).dtype == torch.float64


def test_several_images_are_refused():
    prior = GaussianPrior(torch.zeros(1, 3, 3), torch.eye(9))
    with pytest.raises(ValueError, match="one image.* 2"):
        exact_posterior(prior, GaussianBlur(1.0, 0.1), torch.ones(2, 1, 3, 3))


@pytest.mark.parametrize("complex_valued", [False, True])
def test_samples_are_compared_in_units_of_the_exact_posterior(complex_valued):
    dtype = torch.complex128 if complex_valued else torch.float64
    prior = GaussianPrior(torch.zeros(1, 4, 4, dtype=dtype), torch.diag(torch.linspace(0.1, 1, 16)).to(dtype))
    operator = Inpainting((torch.arange(16) % 2).reshape(1, 1, 4, 4), ETA)
    posterior = exact_posterior(prior, operator, operator.forward(torch.ones(1, 1, 4, 4, dtype=dtype)))
    generator = torch.Generator().manual_seed(0)
    exact = posterior.sample(4000, generator)
    narrow = posterior.mean + 0.7 * (exact - posterior.mean)
    std = posterior.covariance.diagonal().real.sqrt().reshape(1, 4, 4)
    shifted = exact + 0.5 * std * (1 + 1j if complex_valued else 1)

    numbers = compare_with_exact(exact, posterior, generator)
    assert numbers["std_ratio"] == pytest.approx(1, abs=0.01)
    assert numbers["squared_bias"] == pytest.approx(0, abs=2e-4)
    assert numbers["wasserstein_excess"] == pytest.approx(0, abs=0.01)
    numbers = compare_with_exact(narrow, posterior, generator)
    assert numbers["std_ratio"] == pytest.approx(0.7, abs=0.01)
    # one-dimensional distances of Gaussians are differences of standard deviations: (1 - 0.7)^2 of the variance
    assert numbers["wasserstein_excess"] == pytest.approx(0.09, abs=0.02)
    numbers = compare_with_exact(shifted, posterior, generator)
    assert numbers["squared_bias"] == pytest.approx(0.25, abs=0.02)
    with pytest.raises(ValueError, match="2 samples.* 1"):
        compare_with_exact(exact[:1], posterior, generator)
