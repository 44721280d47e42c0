"""The result of a sampler or a reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

PriorKind = Literal["energy", "teacher"]
EstimateKind = Literal["mmse", "map", "point"]
"""The kind of estimate that the mean over the samples gives."""


@dataclass(repr=False)
class Estimates:
    """Samples (S, B, C, H, W) from S chains for B images, with the network calls per sample of each image (B,).

    `nfe_forward` counts forward passes, `nfe_vjp` vector-Jacobian products. Of `antithetic` samples, 2k and 2k + 1 are
    a pair, see `alps_exp.randomness.KeyedNoise`, and an odd last one stands alone.

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

    def __repr__(self) -> str:
        samples, images, *shape = self.samples.shape
        calls = f"{self.nfe_forward.mean().item():g} + {self.nfe_vjp.mean().item():g} calls a sample"
        return f"Estimates({samples} samples of {images} images {tuple(shape)}, {calls})"

    @property
    def mean(self) -> Tensor:
        """Mean over the samples (B, C, H, W): the MMSE estimate; for S = 1 the single sample."""
        return self.samples.mean(0)

    @property
    def std(self) -> Tensor:
        """Standard deviation of a sample (B, C, H, W), always real; the root of an unbiased variance.

        For complex samples it is the root of the summed variances of the real and the imaginary part.

        Raises
        ------
        ValueError
            If there is only one sample, or only one antithetic pair.
        """
        if not self.has_std:
            least = "4 antithetic samples" if self.antithetic else "2 samples"
            raise ValueError(f"a standard deviation needs at least {least}, got {len(self.samples)}")
        return sample_std(self.samples, self.antithetic)

    @property
    def has_std(self) -> bool:
        """Whether the samples are enough for a standard deviation, see `has_std`."""
        return has_std(len(self.samples), self.antithetic)


def has_std(num_samples: int, antithetic: bool = False) -> bool:
    """Return whether samples are enough for a standard deviation: of a single pair it would be too small."""
    return num_samples >= (4 if antithetic else 2)


def sample_std(x: Tensor, antithetic: bool = False) -> Tensor:
    """Return the root of the unbiased variance of a sample, given numbers (S, ...) of S samples, or of antithetic ones.

    Antithetic samples are ``p + h`` and ``p - h``: the variance is that of p over the pairs plus the mean of ``|h|^2``
    (an odd last sample is left out).
    """
    if not antithetic:
        return x.std(0)
    middle, half = _pairs(x)
    return (middle.var(0) + half.abs().square().mean(0)).sqrt()


def std_of_mean(x: Tensor, antithetic: bool = False) -> Tensor:
    """Return the root of the unbiased variance of the mean over S samples, given as for `sample_std`."""
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
