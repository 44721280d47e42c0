"""The Gaussian-mixture prior: multimodal, with densities, scores and posteriors in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from alps_exp.priors.base import VJP, EnergyPrior, Scale


class GaussianMixturePrior(EnergyPrior):
    """p(x; t) = sum_k w_k N(x; m_k, C_k + t^2 I) as a multi-scale energy.

    E(x, t) = -t^2 log sum_k v_k exp(-1/2 q_k), with q_k = (x - m_k)^H (C_k + t^2 I)^(-1) (x - m_k). The v_k
    are the peak heights of the components, w_k times the peak of N(0, C_k + t^2 I), normalized to sum to one. Hence E
    is never negative and equals 1/2 t^2 q for a single component; `log_partition` gives the normalizer of
    exp(-E / t^2). For complex images, the real and the imaginary part each have covariance C_k.

    Parameters
    ----------
    weights
        w_k, (K,), nonnegative with sum 1.
    means
        m_k, (K, C, H, W), real or complex.
    covariances
        C_k, symmetric (Hermitian) and positive semi-definite, (K, n, n) with n = C * H * W, of the means' dtype.

    Raises
    ------
    ValueError
        If the shapes do not match, a weight is negative, the weights do not sum to 1, or a C_k has a negative
        eigenvalue.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor
    axes: Tensor

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        super().__init__()
        count, size = len(means), means[0].numel()
        if covariances.shape != (count, size, size) or weights.shape != (count,):
            raise ValueError(
                f"weights {tuple(weights.shape)} and covariances {tuple(covariances.shape)} do not fit means "
                f"{tuple(means.shape)}: expected ({count},) and ({count}, {size}, {size})"
            )
        if weights.min() < 0 or abs(float(weights.sum()) - 1) > 1e-4:
            raise ValueError(f"weights are {weights.tolist()}, expected numbers of at least 0 and of sum 1")
        variances, axes = torch.linalg.eigh(covariances)
        # Eigenvalues of a semi-definite C_k may come out slightly negative by rounding; these are clamped to 0 below.
        if (variances[:, 0] < -1e-6 * variances[:, -1]).any():
            raise ValueError(f"a covariance has the negative eigenvalue {float(variances.min()):.3g}")
        self.register_buffer("weights", weights.to(variances.dtype))
        self.register_buffer("means", means)
        self.register_buffer("variances", variances.clamp(min=0))
        self.register_buffer("axes", axes)

    @property
    def channels(self) -> int:
        """Number of real channels of the images; a complex channel counts as 2."""
        return self.means.shape[1] * self._parts

    @property
    def mean(self) -> Tensor:
        """Mean of the mixture, (C, H, W)."""
        mean: Tensor = torch.tensordot(self.weights.to(self.means.dtype), self.means, 1)
        return mean

    @property
    def covariance(self) -> Tensor:
        """Covariance of the mixture, (n, n); for complex images the average over the real and the imaginary part."""
        offsets = (self.means - self.mean).flatten(1)
        covariances = (self.axes * self.variances[:, None]) @ self.axes.mH
        covariances = covariances + offsets[:, :, None] * offsets[:, None].conj() / self._parts
        covariance: Tensor = torch.tensordot(self.weights.to(covariances.dtype), covariances, 1)
        return covariance

    def log_partition(self, t: Scale) -> Tensor:
        """Return the log of the integral of exp(-E(x, t) / t^2) over all images, of the shape of t."""
        log_peaks = self._log_peaks(self._square(t)).logsumexp(-1)
        return self._parts / 2 * self.means[0].numel() * math.log(2 * math.pi) - log_peaks

    def energy_and_gradient(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        """Return E of each image, of shape x.shape[:-3], and grad E, of the shape of x (complex: d/dRe + i d/dIm)."""
        self.calls.vjp += x.shape[:-3].numel()
        components = self._components(x, t)
        return components.energy, components.gradient.reshape(x.shape)

    def energy(self, x: Tensor, t: Scale) -> Tensor:
        """Return E of each image, of shape x.shape[:-3]."""
        return self._components(x, t).energy

    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Return d = x - grad E, the posterior mean of the clean image, and the map v -> J v; J is symmetric.

        J v = sum_k r_k (C_k (C_k + t^2 I)^(-1) v + t^(-2) b_k <b_k, v>), where r_k is the responsibility of component k
        and b_k = t^2 (C_k + t^2 I)^(-1) (x - m_k) - grad E.
        """
        components = self._components(x, t)
        deviations = components.gradients - components.gradient[..., None, :]
        gains = self.variances / (self.variances + components.square[..., None])

        def vjp(v: Tensor) -> Tensor:
            self.calls.vjp += x.shape[:-3].numel()
            v = v.flatten(-3)[..., None, :]
            inner: Tensor = torch.linalg.vecdot(deviations, v).real / components.square
            within = self._from_axes(gains * self._on_axes(v.expand_as(deviations)))
            component_products = within + inner[..., None] * deviations
            return (components.responsibilities[..., None] * component_products).sum(-2).reshape(x.shape)

        return x - components.gradient.reshape(x.shape), vjp

    def responsibilities(self, x: Tensor, t: Scale) -> Tensor:
        """Return the probability of each component given x = clean + t * noise, (..., K)."""
        return self._components(x, t).responsibilities

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw independent noise-free images (count, C, H, W) from the prior, with a CPU generator."""
        component = torch.multinomial(self.weights.cpu(), count, replacement=True, generator=generator)
        shape = (count, self.means[0].numel())
        z = torch.randn(shape, generator=generator, dtype=self.means.dtype).to(self.means.device)
        deviations = self._from_axes(self.variances.sqrt() * (z * math.sqrt(self._parts))[:, None])
        deviation = deviations[torch.arange(count), component]
        return self.means[component] + deviation.reshape(count, *self.means.shape[1:])

    def _components(self, x: Tensor, t: Scale) -> _AtPoint:
        if x.shape[-3:] != self.means.shape[1:]:
            sizes = f"{tuple(self.means.shape[1:])}, got {tuple(x.shape[-3:])}"
            raise ValueError(f"this closed-form prior needs images of shape {sizes}")
        self.calls.forward += x.shape[:-3].numel()
        square = self._square(t)
        shrinkage = square[..., None] / (self.variances + square[..., None])
        coefficients = self._on_axes((x.unsqueeze(-4) - self.means).flatten(-3))
        distances = (shrinkage * coefficients.abs().square()).sum(-1) / square
        log_terms = self._log_peaks(square).log_softmax(-1) - distances / 2
        gradients = self._from_axes(shrinkage * coefficients)
        return _AtPoint(square, log_terms, gradients)

    def _log_peaks(self, square: Tensor) -> Tensor:
        """Return log w_k - log det(C_k + t^2 I)^(1/2) (complex images: without the root), (..., K)."""
        log_determinants = (self.variances + square[..., None]).log().sum(-1)
        return self.weights.log() - self._parts / 2 * log_determinants

    def _square(self, t: Scale) -> Tensor:
        return torch.as_tensor(t, dtype=self.variances.dtype, device=self.variances.device).square()[..., None]

    def _on_axes(self, x: Tensor) -> Tensor:
        return torch.einsum("...kn,knm->...km", x, self.axes.conj())

    def _from_axes(self, coefficients: Tensor) -> Tensor:
        return torch.einsum("...km,knm->...kn", coefficients, self.axes)

    @property
    def _parts(self) -> int:
        return 2 if self.means.is_complex() else 1


@dataclass
class _AtPoint:
    """The mixture evaluated at an image: t^2 (..., 1), gradients (..., K, n), log terms of E (..., K)."""

    square: Tensor
    log_terms: Tensor
    gradients: Tensor

    @property
    def energy(self) -> Tensor:
        return -self.square.squeeze(-1) * self.log_terms.logsumexp(-1)

    @property
    def responsibilities(self) -> Tensor:
        return self.log_terms.softmax(-1)

    @property
    def gradient(self) -> Tensor:
        return (self.responsibilities[..., None] * self.gradients).sum(-2)
