"""What a sampler or a reconstruction returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

PriorKind = Literal["energy", "teacher"]


@dataclass
class Estimates:
    """Samples (S, B, C, H, W) of S chains for B images, and what a sample of each cost in network calls (B,)."""

    samples: Tensor
    nfe_forward: Tensor
    nfe_vjp: Tensor
    diagnostics: dict[str, Tensor] = field(default_factory=dict)

    @property
    def mean(self) -> Tensor:
        """Mean over the samples (B, C, H, W): the MMSE estimate; for S = 1 the estimate itself."""
        return self.samples.mean(0)

    @property
    def std(self) -> Tensor:
        """Unbiased standard deviation over the samples (B, C, H, W), real; complex: of both parts together.

        Raises
        ------
        ValueError
            For a single sample.
        """
        if len(self.samples) < 2:
            raise ValueError("a standard deviation needs at least 2 samples, got 1")
        return self.samples.std(0)


def chain_ids(y: Tensor, num_samples: int, image_ids: Sequence[str] | None) -> Sequence[str]:
    """Return the id of each image of a measurement y (B, ...): those given, or else its position in the batch.

    Raises
    ------
    ValueError
        If the measurement has another number of dimensions than 4, there is not an id for each image, or there is no
        sample to draw.
    """
    if y.ndim != 4:
        raise ValueError(f"expected a measurement of 4 dimensions, the batch and any three, got {tuple(y.shape)}")
    ids = image_ids if image_ids is not None else [str(i) for i in range(len(y))]
    if len(ids) != len(y) or num_samples < 1:
        given = f"{len(ids)} ids and num_samples {num_samples}"
        raise ValueError(f"expected an id for each of {len(y)} images and num_samples >= 1, got {given}")
    return ids
