"""The Gaussian-mixture prior against its density, by finite differences, quadrature and its own samples."""

import math

import pytest
import torch

from alps_exp.priors import GaussianMixturePrior, GaussianPrior, smooth_gaussian, two_mode_mixture

DTYPES = [torch.float64, torch.complex128]
SHAPE = (3, 2, 2)
SIZE = 12


def random_mixture(dtype, count=3):
    torch.manual_seed(0)
    roots = torch.randn(count, SIZE, SIZE, dtype=dtype)
    weights = torch.rand(count, dtype=torch.float64)
    means = torch.randn(count, *SHAPE, dtype=dtype)
    return GaussianMixturePrior(weights / weights.sum(), means, roots @ roots.mH / SIZE)


def real_parts(x):
    return torch.view_as_real(x).flatten(-4) if x.is_complex() else x.flatten(-3)


def log_density(prior, x, t):
    """Return log p(x; t) from dense real covariance matrices."""
    terms = []
    for weight, mean, variances, axes in zip(prior.weights, prior.means, prior.variances, prior.axes, strict=True):
        covariance = axes * (variances + t**2) @ axes.mH
        if x.is_complex():  # of the vector of all real and imaginary parts, interleaved
            real, imaginary = covariance.real, covariance.imag
            covariance = torch.stack([torch.stack([real, -imaginary], -1), torch.stack([imaginary, real], -1)], -2)
            covariance = covariance.permute(0, 2, 1, 3).reshape(2 * SIZE, 2 * SIZE)
        normal = torch.distributions.MultivariateNormal(real_parts(mean), covariance)
        terms.append(weight.log() + normal.log_prob(real_parts(x)))
    return torch.stack(terms).logsumexp(0)


@pytest.mark.parametrize("t", [0.05, 0.7, 20.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_energy_and_partition_are_the_log_density(dtype, t):
    prior = random_mixture(dtype)
    x = torch.randn(5, *SHAPE, dtype=dtype)
    energy, _ = prior.energy_and_gradient(x, t)
    assert torch.allclose(-energy / t**2 - prior.log_partition(t), log_density(prior, x, t))
    assert torch.equal(energy, prior.energy(x, t)) and (energy >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_and_jacobian_by_finite_differences(dtype):
    prior, t = random_mixture(dtype), 0.8
    x, u, v = (torch.randn(4, *SHAPE, dtype=dtype) for _ in range(3))
    _, gradient = prior.energy_and_gradient(x, t)
    responsibilities = prior.responsibilities(x, t)
    assert ((responsibilities > 0.02).sum(-1) > 1).any()  # else there is no term between the components
    step = 1e-5
    slope = (prior.energy(x + step * u, t) - prior.energy(x - step * u, t)) / (2 * step)
    assert torch.allclose(slope, torch.linalg.vecdot(gradient.flatten(1), u.flatten(1)).real, rtol=1e-6, atol=1e-6)
    d, product = prior.denoise_and_apply_vjp(x, t, lambda _: v)
    moved = (prior.denoise(x + step * v, t) - prior.denoise(x - step * v, t)) / (2 * step)
    assert torch.allclose(d, x - gradient)
    assert torch.allclose(product, moved, rtol=1e-6, atol=1e-6)  # the Jacobian is symmetric


def test_the_denoiser_is_the_posterior_mean_by_quadrature():
    prior = GaussianMixturePrior(
        torch.tensor([0.3, 0.7]).double(),
        torch.tensor([-1.0, 1.0]).double().reshape(2, 1, 1, 1),
        torch.tensor([0.02, 0.1]).double().reshape(2, 1, 1),
    )
    clean = torch.linspace(-4, 4, 20001, dtype=torch.float64)
    density = sum(
        w * torch.exp(-((clean - m) ** 2) / (2 * c)) / math.sqrt(c) for w, m, c in [(0.3, -1, 0.02), (0.7, 1, 0.1)]
    )
    for x in (-1.3, -0.1, 0.4):
        likelihood = density * torch.exp(-((x - clean) ** 2) / (2 * 0.6**2))
        expected = (clean * likelihood).sum() / likelihood.sum()
        assert torch.allclose(prior.denoise(torch.full((1, 1, 1), x).double(), 0.6).squeeze(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_component_is_the_gaussian(dtype):
    mixture = random_mixture(dtype, count=1)
    covariance = mixture.axes[0] * mixture.variances[0] @ mixture.axes[0].mH
    gaussian = GaussianPrior(mixture.means[0], covariance)
    x, v, t = torch.randn(2, *SHAPE, dtype=dtype), torch.randn(2, *SHAPE, dtype=dtype), 0.4
    difference = (x - gaussian.mean).flatten(1)
    solved = torch.linalg.solve(covariance + t**2 * torch.eye(SIZE), difference.mT).mT
    parts = 2 if dtype.is_complex else 1
    for prior in (mixture, gaussian):
        energy, gradient = prior.energy_and_gradient(x, t)
        assert torch.allclose(energy / t**2, torch.linalg.vecdot(difference, solved).real / 2)
        assert torch.allclose(gradient.flatten(1), t**2 * solved)
        determinant = torch.logdet(2 * math.pi * (covariance + t**2 * torch.eye(SIZE))).real
        assert torch.allclose(prior.log_partition(t), parts / 2 * determinant)
        expected = torch.linalg.solve(covariance + t**2 * torch.eye(SIZE), covariance @ v.flatten(1).mT).mT
        assert torch.allclose(prior.denoise_and_apply_vjp(x, t, lambda _: v)[1].flatten(1), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_have_the_moments_of_the_mixture(dtype):
    prior = random_mixture(dtype)
    count = 40_000
    x = prior.sample(count, torch.Generator().manual_seed(1))
    assert x.shape == (count, *SHAPE) and x.dtype == dtype
    deviations = (x - prior.mean).flatten(1)
    covariance = deviations.mT @ deviations.conj() / count / (2 if dtype.is_complex else 1)
    width = prior.covariance.diagonal().real.sqrt()
    assert (deviations.mean(0).abs() < 5 * 2 * width / count**0.5).all()
    assert ((covariance - prior.covariance).abs() < 0.04 * torch.outer(width, width)).all()
    shares = torch.bincount(prior.responsibilities(x, 1e-3).argmax(-1), minlength=3) / count
    assert torch.allclose(shares.double(), prior.weights, atol=0.02)
    assert torch.equal(x, prior.sample(count, torch.Generator().manual_seed(1)))


def test_an_image_is_the_same_alone_and_in_a_batch_of_scales():
    prior = random_mixture(torch.float64)
    x, v = torch.randn(2, 4, *SHAPE, dtype=torch.float64), torch.randn(2, 4, *SHAPE, dtype=torch.float64)
    t = torch.tensor([0.1, 0.5, 2.0, 30.0], dtype=torch.float64)
    energies, gradients = prior.energy_and_gradient(x, t)
    _, products = prior.denoise_and_apply_vjp(x, t, lambda _: v)
    assert energies.shape == (2, 4) and prior.log_partition(t).shape == (4,)
    for i in range(4):
        energy, gradient = prior.energy_and_gradient(x[1, i], float(t[i]))
        _, product = prior.denoise_and_apply_vjp(x[1, i], float(t[i]), lambda _, i=i: v[1, i])
        assert energy.shape == () and torch.allclose(energy, energies[1, i])
        assert torch.allclose(gradient, gradients[1, i]) and torch.allclose(product, products[1, i])
        assert torch.allclose(prior.log_partition(float(t[i])), prior.log_partition(t)[i])


def test_far_from_every_mode_nothing_overflows():
    prior = random_mixture(torch.float64).float()
    x = 1e4 * torch.ones(1, *SHAPE)
    energy, gradient = prior.energy_and_gradient(x, 0.01)
    _, product = prior.denoise_and_apply_vjp(x, 0.01, lambda _: x)
    assert energy.isfinite().all() and gradient.isfinite().all() and product.isfinite().all()
    assert energy.dtype == gradient.dtype == product.dtype == prior.log_partition(0.01).dtype == torch.float32


def test_calls_and_channels():
    prior = random_mixture(torch.complex128)
    x = torch.zeros(2, 3, *SHAPE, dtype=torch.complex128)
    prior.energy(x, 1.0)
    prior.denoise(x, 1.0)
    prior.denoise_and_apply_vjp(x, 1.0, lambda d: d)
    assert (prior.calls.forward, prior.calls.vjp) == (18, 12)
    assert (prior.channels, random_mixture(torch.float64).channels) == (6, 3)


def test_what_is_no_mixture_is_refused():
    means, covariances = torch.zeros(2, 1, 2, 2), torch.eye(4).expand(2, 4, 4)
    with pytest.raises(ValueError, match=r"\(2,\).*\(2, 4, 4\)"):
        GaussianMixturePrior(torch.tensor([1.0]), means, covariances)
    with pytest.raises(ValueError, match="sum 1"):
        GaussianMixturePrior(torch.tensor([0.5, 0.4]), means, covariances)
    with pytest.raises(ValueError, match="eigenvalue.*-1"):
        GaussianMixturePrior(torch.tensor([0.5, 0.5]), means, covariances * torch.tensor([1, -1])[:, None, None])


@pytest.mark.parametrize("complex_valued", [False, True])
def test_smooth_priors_have_the_stated_spectrum_and_modes(complex_valued):
    gaussian = smooth_gaussian(channels=2, complex_valued=complex_valued)
    mixture = two_mode_mixture(complex_valued=complex_valued, weight=0.3, height=0.7)
    assert gaussian.channels == (4 if complex_valued else 2) and mixture.channels == (2 if complex_valued else 1)
    assert 0.05**2 * 0.99 < gaussian.values[0] < 0.05**2 * 1.01 and 0.7 < gaussian.values[-1] < 1
    pixel = gaussian.covariance.diagonal().real
    assert torch.allclose(pixel, torch.full_like(pixel, 0.2**2 + 0.05**2), rtol=1e-4)
    spot = mixture.means[0, 0].abs()
    assert torch.equal(mixture.means[0], -mixture.means[1]) and spot.max() > 0.65 and spot[0, 0] < 1e-4
    assert mixture.sample(1, torch.Generator().manual_seed(0)).dtype == (
        torch.complex64 if complex_valued else torch.float32
    )


def test_smooth_priors_of_no_width_are_refused():
    with pytest.raises(ValueError, match="length.*std.*floor.*positive.* 0.0.*0.2.*0.05"):
        smooth_gaussian(length=0.0)
    with pytest.raises(ValueError, match=r"weight.*\[0, 1\].* 1.5"):
        two_mode_mixture(weight=1.5)
