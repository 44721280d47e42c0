"""SENSE: least squares with a quadratic penalty."""

from __future__ import annotations

from torch import Tensor

from alps_exp.checks import positive
from alps_exp.operators import LinearOperator
from alps_exp.reconstruction.base import Reconstruction


class SENSE(Reconstruction):
    """Least squares with a quadratic penalty: argmin 1/2 ||A x - y||^2 + lambda/2 ||x||^2, by the operator's solve.

    Parameters
    ----------
    weight
        lambda, in units of A^H A. lambda = eta^2 / s^2 is the posterior mean under a prior N(0, s^2 I).

    Raises
    ------
    ValueError
        If weight is not positive.

    References
    ----------
    Pruessmann et al., "Advances in sensitivity encoding with arbitrary k-space trajectories", MRM 46, 2001. The
    same problem as in `sigpy.mri.app.SenseRecon`.

    Examples
    --------
    >>> import torch
    >>> from alps_exp.operators import Denoising
    >>> from alps_exp.priors import NullPrior
    >>> SENSE(weight=1.0)(NullPrior(), Denoising(noise_std=0.1), torch.ones(1, 1, 2, 2)).mean
    tensor([[[[0.5000, 0.5000],
              [0.5000, 0.5000]]]])
    """

    def __init__(self, weight: float = 0.03) -> None:
        self.weight = positive("weight", weight)

    def reconstruct(self, operator: LinearOperator, y: Tensor) -> Tensor:
        """Return the minimizer."""
        return operator.solve(operator.adjoint(y), operator.noise_std / self.weight**0.5)
