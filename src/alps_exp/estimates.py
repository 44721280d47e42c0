"""The result of a sampler or a reconstruction."""

from __future__ import annotations

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

    `nfe_forward` counts forward passes, `nfe_vjp` vector-Jacobian products.

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
        """Unbiased standard deviation over the samples (B, C, H, W), always real.

        For complex samples it is the root of the summed variances of the real and the imaginary part.

        Raises
        ------
        ValueError
            If there is only one sample.
        """
        if len(self.samples) < 2:
            raise ValueError("a standard deviation needs at least 2 samples, got 1")
        return self.samples.std(0)


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
