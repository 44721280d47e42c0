"""Super-resolution: the measurement has fewer pixels than the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from alps_exp.operators.base import ClosedFormUpdate
from alps_exp.operators.cg import Rough

Kind = Literal["average", "bicubic"]


class SuperResolution(ClosedFormUpdate):
    """Downsampling by an integer factor f, separable and with periodic boundaries, ``y = R_h x R_w^T``.

    Filtering and keeping every f-th pixel aliases f^2 frequencies of x onto each frequency k of y. Hence ``A A^H`` is
    diagonal in the Fourier space of y. Its eigenvalues g(k) are the mean of the squared transfer function over the
    aliases, and for every function q

        q(A^H A) = q(0) I + A^H F^H (q(g) - q(0)) / g F A.

    Solves and ``P^(1/2)`` use this formula. For ``average``, g is 1 / f^2 everywhere. Images may be real or complex.

    Parameters
    ----------
    factor
        f, an integer of at least 2 that divides both sides of the image.
    noise_std
        Standard deviation ``eta > 0`` of the measurement noise.
    kind
        ``average``: mean over blocks of f x f pixels; ``bicubic``: the cubic kernel with a = -1/2, widened by f to
        prevent aliasing, as in MATLAB's and Pillow's ``resize``, but with periodic boundaries.

    Raises
    ------
    ValueError
        If `factor`, `noise_std` or `kind` is invalid; in use, if the factor does not divide the sides of an image.

    References
    ----------
    Zhao, Wei, Basarab, Dobigeon, Kouame, Tourneret, "Fast single image super-resolution using a new analytical
    solution for l2-l2 problems", IEEE Trans. Image Process. 25, 2016: the diagonalization by aliases.
    Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29, 1981.

    Examples
    --------
    >>> import torch
    >>> SuperResolution(factor=4, noise_std=0.02).forward(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 3, 16, 16])
    """

    def __init__(self, factor: int, noise_std: float, kind: Kind = "average") -> None:
        super().__init__(noise_std)
        if not isinstance(factor, int) or factor < 2:
            raise ValueError(f"factor must be a whole number of at least 2, got {factor!r}")
        if kind not in ("average", "bicubic"):
            raise ValueError(f"kind must be 'average' or 'bicubic', got {kind!r}")
        self.factor, self.kind = factor, kind
        self._matrices: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}
        self._gains: dict[tuple[object, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Return the downsampled image, (..., B, C, H / f, W / f)."""
        rows, columns = self._resamplers(x.shape[-2:], x)
        return rows @ x @ columns.mT

    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``R_h^T y R_w``, (..., B, C, H, W)."""
        rows, columns = self._resamplers([self.factor * size for size in y.shape[-2:]], y)
        return rows.mT @ y @ columns

    def measurement_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return (..., B, C, H / f, W / f) for an image `shape`."""
        return (*shape[:-2], *(self._reduced_size(size) for size in shape[-2:]))

    def spectral_filter(self, x: Tensor, response: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``f(A^H A) x`` for a real function f of the eigenvalues of ``A^H A``, given as `response`."""
        gain = self._gain(x.shape[-2:], x)
        response_at_zero = response(torch.zeros_like(gain[..., :1, :1]))
        return response_at_zero * x + self.adjoint(
            _circulant((response(gain) - response_at_zero) / gain, self.forward(x))
        )

    def _solve(self, b: Tensor, shift: float | Tensor) -> Tensor:
        return self.spectral_filter(b, lambda gain: 1 / (gain + shift))

    def _posterior_noise(self, z: Tensor, shift: float | Tensor) -> Tensor:
        return self.spectral_filter(z, lambda gain: self.noise_std * (gain + shift).rsqrt())

    def solve_measured(self, r: Tensor, t: float, rough: Rough | None = None) -> Tensor:
        """Return ``(I + t^2 / eta^2 A A^H)^(-1) r``."""
        size = [self.factor * side for side in r.shape[-2:]]
        return _circulant(1 / (1 + (t / self.noise_std) ** 2 * self._gain(size, r)), r)

    def _update(self, d: Tensor, y: Tensor, t: float | Tensor, rough: Rough | None) -> Tensor:
        # The part of d that y does not measure stays exactly as it is.
        response = 1 / (self._gain(d.shape[-2:], d) + (self.noise_std / t) ** 2)
        return d + self.adjoint(_circulant(response, self._residual(d, y)))

    def _gain(self, shape: Sequence[int], x: Tensor) -> Tensor:
        """Return the eigenvalues of ``A A^H`` for images of `shape` (H, W) in Fourier space, real, (H / f, W / f)."""
        key = (*shape, x.dtype, x.device)
        if key not in self._gains:
            rows, columns = (torch.fft.fft(r @ r[0]).real for r in self._resamplers(shape, x))
            self._gains[key] = rows[:, None] * columns
        return self._gains[key]

    def _resamplers(self, shape: Sequence[int], x: Tensor) -> tuple[Tensor, Tensor]:
        """Return R_h and R_w for images of `shape` (H, W)."""
        height, width = shape
        return self._resampler(height, x), self._resampler(width, x)

    def _resampler(self, size: int, x: Tensor) -> Tensor:
        """Return the 1-D downsampling matrix R (size / f, size) in the dtype and on the device of `x`."""
        key = (size, x.dtype, x.device)
        if key not in self._matrices:
            rows = torch.arange(self._reduced_size(size))[:, None]
            weights = _weights(self.factor, self.kind)
            first = (self.factor - len(weights)) // 2
            columns = (self.factor * rows + torch.arange(first, first + len(weights))) % size
            matrix = torch.zeros(len(rows), size, dtype=torch.float64)
            matrix.scatter_add_(1, columns, weights.expand(len(rows), -1))
            self._matrices[key] = matrix.to(x.device, x.dtype)
        return self._matrices[key]

    def _reduced_size(self, size: int) -> int:
        if size % self.factor:
            raise ValueError(f"a factor of {self.factor} does not divide an image side of {size} pixels")
        return size // self.factor


def _weights(factor: int, kind: Kind) -> Tensor:
    """Return the 1-D filter weights of one output pixel, centered on its block of f pixels; float64, sum 1."""
    if kind == "average":
        return torch.full((factor,), 1 / factor, dtype=torch.float64)
    taps = 4 * factor
    distance = ((torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / factor).abs()
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = torch.where(distance < 1, near, far)
    return weights / weights.sum()


def _circulant(response: Tensor, y: Tensor) -> Tensor:
    """Multiply the Fourier transform of `y` by `response`, which is real and even."""
    if y.is_complex():
        complex_valued: Tensor = torch.fft.ifft2(response * torch.fft.fft2(y))
        return complex_valued
    half = response[..., : y.shape[-1] // 2 + 1]
    real: Tensor = torch.fft.irfft2(half * torch.fft.rfft2(y), s=y.shape[-2:])
    return real
