"""Exact moments of a sampler on a Gaussian posterior, by its own code: it is affine in its noise draws."""

import math

import torch

from alps_exp.operators import GaussianBlur, Inpainting, MultiCoilMRI
from alps_exp.priors import GaussianPrior
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Problem

SIDE = 3
PIXELS = SIDE * SIDE


class Impulses:
    """Chain 0 gets no noise; every other chain gets a unit impulse in one coordinate of one draw.

    Complex draws for real images have impulses in both parts; for complex images, a response tells that to the other.
    """

    def __init__(self, num_chains, real_images):
        self.num_samples, self.real_images = num_chains, real_images
        self.next_chain = 1

    def draw(self, x):
        impulses = torch.eye(x[0].numel(), dtype=x.dtype)
        if x.is_complex() and self.real_images:
            impulses = torch.cat([impulses, 1j * impulses])
        draw = torch.zeros(self.num_samples, x[0].numel(), dtype=x.dtype)
        if self.num_samples > 1:
            draw[self.next_chain : self.next_chain + len(impulses)] = impulses
        self.next_chain += len(impulses)
        return draw.reshape(self.num_samples, *x.shape)


def sampler_moments(sampler, prior, operator, y):
    """Return mean (n,) and covariance (n, n) of the sampler's output (complex: covariance of one part)."""
    real_images = not operator.adjoint(y).is_complex()
    counter = Impulses(1, real_images)
    sampler.sample(Problem(BatchedPrior(prior, None), operator, y, counter))
    noise = Impulses(counter.next_chain, real_images)
    samples = sampler.sample(Problem(BatchedPrior(prior, None), operator, y, noise)).x
    responses = samples.flatten(1)
    mean = responses[0]
    responses = responses[1:] - mean
    return mean, responses.mT @ responses.conj()


def random_prior(dtype, smallest=0.05, shape=(1, SIDE, SIDE)):
    """Return a Gaussian prior of images of `shape` with eigenvalues from `smallest` to 1 in a random basis."""
    torch.manual_seed(0)
    size = math.prod(shape)
    basis, _ = torch.linalg.qr(torch.randn(size, size, dtype=dtype))
    values = torch.logspace(torch.tensor(smallest).log10(), 0, size, dtype=torch.float64)
    mean = 0.5 * torch.randn(shape, dtype=dtype)
    return GaussianPrior(mean, (basis * values) @ basis.mH)


def operator_named(name):
    """Return an operator on 3 x 3 images and the dtype of the images."""
    torch.manual_seed(1)
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., 0, 1:] = 1
    mask[..., 2, 0] = 1
    if name in ("inpainting", "nothing"):
        return Inpainting(mask if name == "inpainting" else 0 * mask, noise_std=0.05), torch.float64
    if name == "blur":
        return GaussianBlur(0.8, noise_std=0.05), torch.float64
    maps = torch.randn(1, 2, SIDE, SIDE, dtype=torch.complex128)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    columns = torch.tensor([1.0, 1.0, 0.0]).reshape(1, 1, 1, SIDE)
    return MultiCoilMRI(columns if name == "mri_1d" else mask, maps, noise_std=0.05), torch.complex128


def measurement(operator, prior):
    """Return a measurement (1, ...) of a typical image."""
    torch.manual_seed(2)
    z = torch.randn(prior.mean.numel(), dtype=prior.mean.dtype)
    x = prior.mean + (prior.vectors @ (prior.values.sqrt() * z)).reshape(prior.mean.shape)
    return operator.measure(x[None], torch.randn_like(operator.forward(x[None])))


def exact_posterior(prior, operator, y, sigma=0.0):
    """Return mean (n,) and covariance (n, n) of the posterior under N(m, C + sigma^2 I)."""
    identity = torch.eye(PIXELS, dtype=prior.mean.dtype)
    normal = operator.normal(identity.reshape(PIXELS, 1, 1, SIDE, SIDE)).reshape(PIXELS, PIXELS).mT
    precision = prior.vectors / (prior.values + sigma**2) @ prior.vectors.mH
    covariance = torch.linalg.inv(precision + normal / operator.noise_std**2)
    pull = precision @ prior.mean.flatten() + operator.adjoint(y).flatten() / operator.noise_std**2
    return covariance @ pull, covariance


def compare(moments, exact):
    """Return the ratios of standard deviations in all directions, and the largest error of the mean.

    The ratios are the roots of the eigenvalues of one covariance in the units of the other; the error is in exact
    standard deviations, along the axes of the exact posterior.
    """
    (mean, covariance), (exact_mean, exact_covariance) = moments, exact
    values, axes = torch.linalg.eigh(exact_covariance)
    whiten = axes.mH / values.sqrt()[:, None]
    ratios = torch.linalg.eigvalsh(whiten @ covariance @ whiten.mH).clamp(min=0).sqrt()
    return ratios, (whiten @ (mean - exact_mean)).abs().max()
