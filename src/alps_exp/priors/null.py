"""A placeholder prior for reconstructions that use none."""

from __future__ import annotations

from typing import NoReturn

from torch import Tensor

from alps_exp.priors.base import VJP, Prior, Scale


class NullPrior(Prior):
    """A placeholder where a prior is expected but not used; it carries no information and raises if evaluated."""

    @property
    def channels(self) -> int:
        """Raise ValueError, since the number of channels is not defined."""
        self._refuse()

    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Raise ValueError."""
        self._refuse()

    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Raise ValueError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError("this sampler needs a prior, got none")
