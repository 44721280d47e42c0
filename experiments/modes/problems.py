"""Six posteriors with two modes, of 2 to 64 real numbers, whose weights and evidence are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from alps_exp.evaluation import exact_posterior
from alps_exp.evaluation.exact import ExactPosterior
from alps_exp.operators import GaussianBlur, Inpainting, LinearOperator, MultiCoilMRI
from alps_exp.priors import GaussianMixturePrior

SIGMA_MIN, TINY = 0.03, 1e-6
REAL, COMPLEX = torch.float64, torch.complex128


@dataclass
class Problem:
    """A mixture of two Gaussians, a measurement (1, ...) of an image, and the exact posterior at `SIGMA_MIN`."""

    prior: GaussianMixturePrior
    operator: LinearOperator
    y: Tensor
    exact: ExactPosterior

    @property
    def weight(self) -> float:
        """The exact probability of the first mode."""
        return float(self.exact.weights[0])

    @property
    def numbers(self) -> int:
        """Real numbers of an image."""
        return self.prior.channels * self.prior.means[0, 0].numel()

    def in_first(self, x: Tensor) -> Tensor:
        """Return the probability of the first mode given images x (..., C, H, W), which is nearly 0 or 1."""
        return self.exact.responsibilities(x, TINY)[..., 0]


def smooth(side: int, std: float, length: float, floor: float) -> Tensor:
    """Return a squared-exponential covariance of square images plus floor^2."""
    place = torch.cartesian_prod(*[torch.arange(side, dtype=REAL)] * 2)
    near = torch.exp(-torch.cdist(place, place).square() / (2 * length**2))
    return std**2 * near + floor**2 * torch.eye(side**2, dtype=REAL)


def spot(side: int, width: float) -> Tensor:
    """Return a bright spot of height 1 in the middle of a square image."""
    place = torch.cartesian_prod(*[torch.arange(side, dtype=REAL) - (side - 1) / 2] * 2)
    return torch.exp(-place.square().sum(-1) / (2 * width**2))


def mixture(
    weight: float, means: list[Tensor], covariances: list[Tensor], shape: tuple[int, ...], dtype: torch.dtype
) -> GaussianMixturePrior:
    """Return a mixture of two Gaussians; the phase of complex means varies."""
    images = torch.stack(means).reshape(2, *shape).to(dtype)
    if dtype.is_complex:
        images = images * torch.exp(0.5j * torch.arange(math.prod(shape), dtype=REAL).reshape(shape) / shape[-1])
    return GaussianMixturePrior(
        torch.tensor([weight, 1 - weight], dtype=REAL), images, torch.stack(covariances).to(dtype)
    )


def two_pixels() -> tuple[GaussianMixturePrior, LinearOperator]:
    """2 numbers: modes at +-(1, 0.6), the first pixel measured with noise 0.4."""
    mode, c = torch.tensor([1.0, 0.6], dtype=REAL), 0.03 * torch.eye(2, dtype=REAL)
    return mixture(0.5, [mode, -mode], [c, c], (1, 1, 2), REAL), Inpainting(torch.tensor([[[[1, 0]]]]), 0.4)


def unequal_widths() -> tuple[GaussianMixturePrior, LinearOperator]:
    """4 numbers: a narrow and a wide mode, 2 x 2 pixels blurred."""
    one = torch.ones(4, dtype=REAL)
    prior = mixture(
        0.3, [0.6 * one, -0.6 * one], [smooth(2, 0.1, 1.0, 0.05), smooth(2, 0.3, 1.0, 0.1)], (1, 2, 2), REAL
    )
    return prior, GaussianBlur(0.8, 0.6)


def one_coil() -> tuple[GaussianMixturePrior, LinearOperator]:
    """8 numbers: 2 x 2 complex pixels, half of their k-space measured by one coil."""
    one = torch.tensor([1.0, 0.5, 0.5, 0.2], dtype=REAL)
    c = smooth(2, 0.2, 1.0, 0.1)
    mask = torch.tensor([[[[0, 0], [1, 1]]]])
    return mixture(0.4, [0.7 * one, -0.7 * one], [c, 0.5 * c], (1, 2, 2), COMPLEX), MultiCoilMRI(
        mask, torch.ones(1, 1, 2, 2, dtype=COMPLEX), 0.3
    )


def hole(
    side: int, width: float, inner: int, noise_std: float, height: float
) -> tuple[GaussianMixturePrior, LinearOperator]:
    """A bright or dark spot in the middle of the image, which is not measured."""
    mean, c = height * spot(side, width), smooth(side, 0.2, 2.0, 0.05)
    mask = torch.ones(1, 1, side, side)
    edge = (side - inner) // 2
    mask[..., edge : edge + inner, edge : edge + inner] = 0
    return mixture(0.3, [mean, -mean], [c, c], (1, side, side), REAL), Inpainting(mask, noise_std)


def two_coils() -> tuple[GaussianMixturePrior, LinearOperator]:
    """32 numbers: 4 x 4 complex pixels, 2 of 4 columns of k-space by two coils."""
    mean, c = 0.5 * spot(4, 1.5), smooth(4, 0.2, 2.0, 0.05)
    ramp = torch.linspace(0.2, 1.0, 4, dtype=REAL).expand(4, 4)
    maps = torch.stack([ramp, ramp.flip(1)]).to(COMPLEX)
    maps = maps / maps.abs().square().sum(0).sqrt()
    return mixture(0.4, [mean, -mean], [c, 0.6 * c], (1, 4, 4), COMPLEX), MultiCoilMRI(
        torch.tensor([[[[0, 1, 0, 1]]]]), maps[None], 0.3
    )


PROBLEMS: dict[str, tuple[Callable[[], tuple[GaussianMixturePrior, LinearOperator]], int]] = {
    "2: two pixels": (two_pixels, 7),
    "4: unequal widths, blur": (unequal_widths, 19),
    "8: complex, one coil": (one_coil, 35),
    "16: hole": (lambda: hole(4, 1.0, 2, 0.1, 0.5), 35),
    "32: complex, two coils": (two_coils, 13),
    "64: hole": (lambda: hole(8, 1.5, 4, 0.1, 0.5), 22),
}
"""What makes the prior and the operator, and the seed of the image."""


def problem(name: str) -> Problem:
    """Return one of `PROBLEMS`."""
    make, seed = PROBLEMS[name]
    prior, operator = make()
    generator = torch.Generator().manual_seed(seed)
    truth = prior.sample(1, generator)
    clean = operator.forward(truth)
    noise = torch.randn(clean.shape, dtype=clean.dtype, generator=generator) * (2**0.5 if clean.is_complex() else 1)
    y = operator.measure(truth, noise)
    return Problem(prior, operator, y, exact_posterior(prior, operator, y, SIGMA_MIN))
