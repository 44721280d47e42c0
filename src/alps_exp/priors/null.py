"""The prior of reconstructions that ask none."""

from __future__ import annotations

from typing import NoReturn

from torch import Tensor

from alps_exp.priors.base import VJP, Prior, Scale


class NullPrior(Prior):
    """Stands where a prior is expected and none is used; it says nothing of images, and raises where it is asked."""

    @property
    def channels(self) -> int:
        """Raises ValueError: any number fits."""
        self._refuse()

    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Raises ValueError."""
        self._refuse()

    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Raises ValueError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError("this sampler needs a prior, got none")
