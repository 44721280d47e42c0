"""Several measurements of one image combined into one operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.operators.base import LinearOperator


class JointOperator(LinearOperator):
    """Measurements y_k = A_k x + eta_k eps of one image, weighted and stacked as y = (w_1 y_1, w_2 y_2, ...).

    With w_k = eta / eta_k all measurements have the noise level eta, the smallest eta_k. A is the stack of the w_k A_k,
    and A^H A = sum_k w_k^2 A_k^H A_k. (Weights 1 / eta_k would be equivalent for the posterior, but some samplers and
    reconstructions have step sizes and weights that assume ||A|| of about 1.) The measurement has shape
    (..., B, 1, 1, M): every y_k is flattened, including its zeros where nothing is measured. The posterior step uses
    conjugate gradients.

    Parameters
    ----------
    operators
        The A_k with their eta_k, all for the same kind of image.
    image_shape
        (C, H, W) of the images, which cannot be inferred from y.
    tolerance, max_iterations
        For conjugate gradients, as in `MultiCoilMRI`.

    Raises
    ------
    ValueError
        If there is no operator; in use, if a measurement does not fit the image.
    RuntimeError
        If a solve by conjugate gradients does not converge within `max_iterations`.

    Examples
    --------
    >>> import torch
    >>> from alps_exp.operators import GaussianBlur, SuperResolution
    >>> operator = JointOperator([GaussianBlur(1.5, noise_std=0.05), SuperResolution(2, noise_std=0.02)], (1, 8, 8))
    >>> operator.forward(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 1, 1, 80])
    """

    def __init__(
        self,
        operators: Sequence[LinearOperator],
        image_shape: Sequence[int],
        tolerance: float = 3e-3,
        max_iterations: int = 20_000,
    ) -> None:
        if not operators:
            raise ValueError("a joint measurement needs at least one operator, got none")
        super().__init__(min(operator.noise_std for operator in operators))
        self.operators, self.image_shape = list(operators), tuple(image_shape)
        self.weights = [self.noise_std / operator.noise_std for operator in operators]
        self.tolerance = positive("tolerance", tolerance)
        self.max_iterations = int(positive("max_iterations", max_iterations))
        self._shapes = [operator.measurement_shape((1, *self.image_shape))[1:] for operator in operators]
        self._sizes = [torch.Size(shape).numel() for shape in self._shapes]

    @property
    def noise_stds(self) -> float | list[float]:
        """The eta_k."""
        return [operator.noise_std for operator in self.operators]

    def forward(self, x: Tensor) -> Tensor:
        """Return the stack of ``w_k A_k x``."""
        return _stack([weight * operator.forward(x) for weight, operator in self._weighted()])

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the sum of ``w_k A_k^H y_k``, where the y_k are the (already weighted) parts of `y`."""
        parts = zip(self._weighted(), self._split(y), strict=True)
        return torch.stack([weight * operator.adjoint(part) for (weight, operator), part in parts]).sum(0)

    def normal(self, x: Tensor) -> Tensor:
        """Return the sum of ``w_k^2 A_k^H A_k x``."""
        return torch.stack([weight**2 * operator.normal(x) for weight, operator in self._weighted()]).sum(0)

    def log_normalizer(self, y: Tensor) -> Tensor:
        """Return the sum of those of the measurements: the density is that of the y_k without their weights."""
        parts = zip(self.operators, self._split(y), strict=True)
        return torch.stack([operator.log_normalizer(part) for operator, part in parts]).sum(0)

    def measurement_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return (..., B, 1, 1, M) for an image `shape`, where M is the total size of all measurements."""
        return (*shape[:-3], 1, 1, sum(self._sizes))

    def _restrict(self, y: Tensor) -> Tensor:
        parts = zip(self.operators, self._split(y), strict=True)
        return _stack([operator._restrict(part) for operator, part in parts])

    def _weighted(self) -> Iterator[tuple[float, LinearOperator]]:
        return zip(self.weights, self.operators, strict=True)

    def _split(self, y: Tensor) -> list[Tensor]:
        if y.shape[-3:] != (1, 1, sum(self._sizes)):
            raise ValueError(f"measurement must have shape (..., B, 1, 1, {sum(self._sizes)}), got {tuple(y.shape)}")
        parts = zip(y.split(self._sizes, dim=-1), self._shapes, strict=True)
        return [part.reshape(*y.shape[:-3], *shape) for part, shape in parts]


def _stack(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten(-3) for part in parts], dim=-1)[..., None, None, :]
