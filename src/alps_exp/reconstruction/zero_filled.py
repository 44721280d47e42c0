"""The zero-filled reconstruction."""

from __future__ import annotations

from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.reconstruction.base import Reconstruction


class ZeroFilled(Reconstruction):
    """The adjoint A^H y; in MRI the coil-combined inverse Fourier transform of zero-filled k-space."""

    def reconstruct(self, operator: LinearOperator, y: Tensor) -> Tensor:
        """Return A^H y."""
        return operator.adjoint(y)
