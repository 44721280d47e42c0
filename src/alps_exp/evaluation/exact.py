"""Exact posteriors and evidences of closed-form priors under linear operators, as ground truth for samplers."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.evaluation.calibration import sliced_wasserstein
from alps_exp.operators import LinearOperator
from alps_exp.priors import GaussianMixturePrior


class ExactPosterior(GaussianMixturePrior):
    """The posterior of one image: a Gaussian mixture with its evidence.

    Parameters
    ----------
    weights, means, covariances
        As in `GaussianMixturePrior`.
    log_evidence
        log p(y), a scalar.
    """

    log_evidence: Tensor

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor, log_evidence: Tensor) -> None:
        super().__init__(weights, means, covariances)
        self.register_buffer("log_evidence", log_evidence)


def exact_posterior(
    prior: GaussianMixturePrior, operator: LinearOperator, y: Tensor, sigma: float = 0.0
) -> ExactPosterior:
    """Return p(x | y) under the prior sum_k w_k N(m_k, C_k + sigma^2 I), in float64.

    With N = A^H A / eta^2, b_k = A^H (y - A m_k) / eta^2 and C_k + sigma^2 I = R_k R_k^H, component k has

    - covariance S_k = R_k (I + R_k^H N R_k)^(-1) R_k^H and mean m_k + S_k b_k;
    - a weight proportional to w_k p(y | k), where log p(y | k) = 1/2 b_k^H S_k b_k - ||A m_k - y||^2 / (2 eta^2)
      - 1/2 log det(I + R_k^H N R_k) - M/2 log(2 pi eta^2) for M measured numbers; complex numbers, in the image and in
      the measurement, count for two.

    Parameters
    ----------
    prior
        A Gaussian or Gaussian-mixture prior.
    operator
        Linear operator of any kind, for a batch of one image; its dense normal matrix is built.
    y
        Measurement of one image, (1, ...).
    sigma
        Noise scale that remains in the prior: a sampler that ends at sigma targets this posterior.

    Raises
    ------
    ValueError
        If y holds more than one image.
    """
    if len(y) != 1:
        raise ValueError(f"an exact posterior is of one image, got measurements of {len(y)}")
    double = torch.promote_types(prior.means.dtype, torch.float64)
    y, means = y.to(torch.promote_types(y.dtype, torch.float64)), prior.means.to(double)[:, None]
    roots = prior.axes.to(double) * (prior.variances.double() + sigma**2).sqrt()[:, None]
    normal = _normal_matrix(operator, means[0]) / operator.noise_std**2
    # With C = R R^H the matrix to invert is I + R^H N R, which stays well-conditioned for singular C and large N.
    factors = torch.linalg.cholesky(torch.eye(len(normal), device=y.device) + roots.mH @ normal @ roots)
    halves = torch.linalg.solve_triangular(factors, roots.mH, upper=False)
    pulls = operator.adjoint(y - operator.forward(means)).flatten(1)[..., None] / operator.noise_std**2
    shifts = halves.mH @ (halves @ pulls)

    explained = (pulls.conj() * shifts).real.sum((1, 2)) / 2
    log_determinants = (2 if double.is_complex else 1) * factors.diagonal(dim1=1, dim2=2).real.log().sum(1)
    log_likelihoods = explained - operator.misfit(means, y).squeeze(1) - log_determinants - operator.log_normalizer(y)
    log_joint = prior.weights.double().log() + log_likelihoods
    posterior_means = prior.means + shifts.reshape(prior.means.shape)
    return ExactPosterior(log_joint.softmax(0), posterior_means, halves.mH @ halves, log_joint.logsumexp(0))


def compare_with_exact(
    samples: Tensor, posterior: ExactPosterior, generator: torch.Generator, num_projections: int = 100
) -> dict[str, Tensor]:
    """Compare samples of one image with its exact posterior; each result is a scalar in float64.

    Pixels are in units of their exact standard deviation; real and imaginary parts count as separate numbers.

    Parameters
    ----------
    samples
        (S, C, H, W), with S of at least 2.
    posterior
        The posterior of the image, see `exact_posterior`.
    generator
        CPU generator of the exact draws and of the projections.
    num_projections
        Number of random directions of the sliced Wasserstein distance.

    Returns
    -------
    ``squared_bias``: mean squared error of the sample mean, minus its expectation for S exact samples, so 0 on average
    for these; ``std_ratio``: root of the mean variance of the samples; ``wasserstein_excess``: squared sliced
    Wasserstein distance to S exact draws, minus the distance between two sets of S exact draws, over the mean exact
    variance, so 0 on average for exact samples.

    Raises
    ------
    ValueError
        If there are fewer than 2 samples.
    """
    if len(samples) < 2:
        raise ValueError(f"expected at least 2 samples, got {len(samples)}")
    samples = samples.to(posterior.means.dtype)
    std = posterior.covariance.diagonal().real.sqrt().reshape(posterior.mean.shape)
    deviations = _parts((samples - posterior.mean) / std)
    variances = deviations.var(0)
    first, second = (posterior.sample(len(samples), generator)[:, None] for _ in range(2))
    distances = [sliced_wasserstein(x, second, num_projections, generator) for x in (samples[:, None], first)]
    return {
        "squared_bias": (deviations.mean(0).square() - variances / len(samples)).mean(),
        "std_ratio": variances.mean().sqrt(),
        "wasserstein_excess": ((distances[0].square() - distances[1].square()) / std.square().mean()).squeeze(),
    }


def _parts(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def _normal_matrix(operator: LinearOperator, image: Tensor) -> Tensor:
    """Return A^H A, (n, n), for images like `image` (1, C, H, W)."""
    size = image.numel()
    units = torch.eye(size, dtype=image.dtype, device=image.device).reshape(size, *image.shape)
    return operator.normal(units).reshape(size, size).mT
