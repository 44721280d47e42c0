"""The result of a sampler or a reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

PriorKind = Literal["energy", "teacher"]
EstimateKind = Literal["mmse", "map", "point"]
"""The kind of estimate that the mean over the samples gives."""
FEWEST_ANCESTORS = 10
UNCERTIFIED = f"descend from fewer than {FEWEST_ANCESTORS} chains: neither weights nor evidence are certified"


@dataclass(frozen=True)
class Weights:
    """The weights of S samples that descend, by resampling, from S independent chains.

    Numbers (S, ...) of the samples have the leading axes of the weights.

    Attributes
    ----------
    shares
        Weights of the samples, (S, B) or (S,), with sum 1 over the samples.
    ancestors
        The chains that the samples descend from, by their index 0 ... S - 1, of the shape of the weights.

    References
    ----------
    Lee & Whiteley, "Variance estimation in the particle filter", Biometrika 105, 2018 (arXiv 1509.00394): errors by
    ancestors. Their factor for each multinomial resampling is left out, as systematic resampling adds far less.
    """

    shares: Tensor
    ancestors: Tensor

    def of_image(self, i: int) -> Weights:
        """Return the weights (S,) of the samples of the i-th image."""
        return Weights(self.shares[:, i], self.ancestors[:, i])

    def mean(self, x: Tensor) -> Tensor:
        """Return the weighted mean (...) of numbers (S, ...)."""
        return (self._like(x) * x).sum(0)

    def std_of_mean(self, x: Tensor) -> Tensor:
        """Return the standard error of the weighted mean of numbers (S, ...): that of the sums over each ancestor."""
        count = len(x)
        deviations = self._like(x) * (x - self.mean(x))
        index = self.ancestors.reshape(self.ancestors.shape + (1,) * (x.ndim - self.ancestors.ndim)).expand_as(x)
        of_ancestors = torch.zeros_like(deviations).scatter_add(0, index, deviations)
        return (of_ancestors.abs().square().sum(0) * count / (count - 1)).sqrt()

    def std(self, x: Tensor) -> Tensor:
        """Return the root of the variance of a sample, by its numbers (S, ...); unbiased for independent samples."""
        return (self.mean((x - self.mean(x)).abs().square()) + self.std_of_mean(x).square()).sqrt()

    @property
    def effective_sample_size(self) -> Tensor:
        """How many independent chains the samples are worth: 1 over the sum of the squared shares of ancestors."""
        return 1 / self._of_ancestors.square().sum(0)

    @property
    def surviving(self) -> Tensor:
        """The number of chains that samples descend from."""
        return (self._of_ancestors > 0).sum(0)

    @property
    def std_of_log_evidence(self) -> Tensor:
        """Standard error of the logarithm of the mean weight: its relative error by the shares of ancestors."""
        count = len(self.shares)
        return ((count / self.effective_sample_size - 1).clamp(min=0) / (count - 1)).sqrt()

    def resampled(self, x: Tensor) -> Tensor:
        """Return numbers (S, ...) of S equally weighted samples: each occurs as often as its weight says, up to one."""
        chosen = systematic_choice(self.shares, torch.full_like(self.shares[0], 0.5))
        if chosen.ndim == 1:
            return x[chosen]
        return x[chosen, torch.arange(chosen.shape[1], device=x.device)]

    @property
    def _of_ancestors(self) -> Tensor:
        return torch.zeros_like(self.shares).scatter_add(0, self.ancestors, self.shares)

    def _like(self, x: Tensor) -> Tensor:
        return self.shares.to(x.dtype.to_real()).reshape(self.shares.shape + (1,) * (x.ndim - self.shares.ndim))


def systematic_choice(shares: Tensor, offset: Tensor) -> Tensor:
    """Return S indices of samples with weights (S, ...), by systematic resampling with an offset (...) in [0, 1]."""
    count = len(shares)
    places = torch.arange(count, device=shares.device).reshape(-1, *[1] * offset.ndim)
    cumulative, positions = shares.cumsum(0).movedim(0, -1), ((offset + places) / count).movedim(0, -1)
    return torch.searchsorted(cumulative.contiguous(), positions.contiguous()).movedim(-1, 0).clamp(max=count - 1)


@dataclass(repr=False)
class Estimates:
    """Samples (S, B, C, H, W) from S chains for B images, with the network calls per sample of each image (B,).

    `nfe_forward` counts forward passes, `nfe_vjp` vector-Jacobian products. Of `antithetic` samples, 2k and 2k + 1 are
    a pair, see `alps_exp.randomness.KeyedNoise`, and an odd last one stands alone. Samples have equal weights unless
    there are `weights`. `noiseless` are the samples without the noise that the last step drew, None if the sampler does
    not know them.

    Examples
    --------
    >>> import torch
    >>> calls = torch.ones(1)
    >>> estimates = Estimates(torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1, 1), calls, calls)
    >>> estimates.mean.item(), round(estimates.std.item(), 3)
    (0.0, 1.414)
    """

    samples: Tensor
    nfe_forward: Tensor
    nfe_vjp: Tensor
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    antithetic: bool = False
    weights: Weights | None = None
    noiseless: Tensor | None = None

    def __repr__(self) -> str:
        samples, images, *shape = self.samples.shape
        calls = f"{self.nfe_forward.mean().item():g} + {self.nfe_vjp.mean().item():g} calls a sample"
        return f"Estimates({samples} samples of {images} images {tuple(shape)}, {calls})"

    @property
    def mean(self) -> Tensor:
        """Mean over the samples (B, C, H, W): the MMSE estimate; for S = 1 the single sample."""
        return sample_mean(self.samples, self.weights)

    @property
    def std(self) -> Tensor:
        """Standard deviation of a sample (B, C, H, W), always real; the root of an unbiased variance.

        For complex samples it is the root of the summed variances of the real and the imaginary part.

        Raises
        ------
        ValueError
            If there is only one sample, or only one antithetic pair.
        """
        self._check_std()
        return sample_std(self.samples, self.antithetic, self.weights)

    @property
    def has_std(self) -> bool:
        """Whether the samples are enough for a standard deviation, see `has_std`."""
        return has_std(len(self.samples), self.antithetic)

    def expectation(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior mean (B, ...) of numbers (S, B, ...) computed from the samples, and its standard error.

        Of an indicator, 1 for samples of a mode and 0 for others, it is the probability of the mode.

        Raises
        ------
        ValueError
            As `std`.
        """
        self._check_std()
        return sample_mean(values, self.weights), std_of_mean(values, self.antithetic, self.weights)

    def equally_weighted(self) -> Estimates:
        """Return estimates without weights, whose samples occur as often as their weights say."""
        if self.weights is None:
            return self
        return replace(self, samples=self.weights.resampled(self.samples), weights=None)

    def _check_std(self) -> None:
        if not self.has_std:
            least = "4 antithetic samples" if self.antithetic else "2 samples"
            raise ValueError(f"a standard deviation needs at least {least}, got {len(self.samples)}")


def has_std(num_samples: int, antithetic: bool = False) -> bool:
    """Return whether samples are enough for a standard deviation: of a single pair it would be too small."""
    return num_samples >= (4 if antithetic else 2)


def sample_mean(x: Tensor, weights: Weights | None = None) -> Tensor:
    """Return the mean of numbers (S, ...) of S samples."""
    return x.mean(0) if weights is None else weights.mean(x)


def sample_std(x: Tensor, antithetic: bool = False, weights: Weights | None = None) -> Tensor:
    """Return the root of the unbiased variance of a sample, given numbers (S, ...) of S samples, or of antithetic ones.

    Antithetic samples are ``p + h`` and ``p - h``: the variance is that of p over the pairs plus the mean of ``|h|^2``
    (an odd last sample is left out).
    """
    if weights is not None:
        return weights.std(x)
    if not antithetic:
        return x.std(0)
    middle, half = _pairs(x)
    return (middle.var(0) + half.abs().square().mean(0)).sqrt()


def std_of_mean(x: Tensor, antithetic: bool = False, weights: Weights | None = None) -> Tensor:
    """Return the root of the unbiased variance of the mean over S samples, given as for `sample_std`."""
    if weights is not None:
        return weights.std_of_mean(x)
    count = len(x)
    if not antithetic:
        return x.std(0) / math.sqrt(count)
    of_pairs = 4 * (count // 2) * _pairs(x)[0].var(0)
    alone = sample_std(x, antithetic).square() if count % 2 else 0
    return (of_pairs + alone).sqrt() / count


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and half the difference of each pair (S // 2, ...)."""
    pairs = x[: len(x) // 2 * 2].unflatten(0, (-1, 2))
    return pairs.mean(1), (pairs[:, 0] - pairs[:, 1]) / 2


def chain_ids(y: Tensor, num_samples: int, image_ids: Sequence[str] | None) -> Sequence[str]:
    """Return `image_ids`, or the batch positions as ids if it is None, for the images of a measurement y (B, ...).

    Raises
    ------
    ValueError
        If y is not 4-D, the number of ids differs from the batch size, or num_samples < 1.
    """
    if y.ndim != 4:
        raise ValueError(f"expected a measurement of 4 dimensions, the batch and any three, got {tuple(y.shape)}")
    ids = image_ids if image_ids is not None else [str(i) for i in range(len(y))]
    if len(ids) != len(y) or num_samples < 1:
        got = f"{len(ids)} ids and num_samples {num_samples}"
        raise ValueError(f"expected an id for each of {len(y)} images and num_samples >= 1, got {got}")
    return ids
