"""What a sampler or a reconstruction returns."""

from __future__ import annotations

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
