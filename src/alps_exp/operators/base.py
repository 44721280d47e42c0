"""The interface of a linear forward model and the posterior step built on it.

Throughout, ``P = (A^H A / eta^2 + I / t^2)^(-1)`` is the covariance of the posterior of an image with prior
``N(d, t^2 I)`` measured as ``y = A x + eta * eps``. Complex noise has standard deviation 1 in the real and in
the imaginary part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.operators.cg import conjugate_gradients

# Float32 rounding in the null space of A grows like eps * t^2 / eta^2 of the posterior's width; above
# this t / eta the solve runs in float64. (At 300 it is 0.4 % with 8 coils and 4x undersampling.)
FLOAT32_MAX_RATIO = 100.0


def check_fits(name: str, shape: Sequence[int], x: Tensor) -> None:
    """Check that a per-image tensor of `shape` broadcasts to `x` without enlarging it.

    Raises
    ------
    ValueError
        If it does not.
    """
    dims = zip(reversed(shape), reversed(x.shape), strict=False)
    if len(shape) > x.ndim or any(size not in (1, expected) for size, expected in dims):
        raise ValueError(f"{name} of shape {tuple(shape)} does not fit a tensor of shape {tuple(x.shape)}")


class LinearOperator(ABC):
    """A linear forward model ``y = A x + eta * eps`` with standard normal ``eps``.

    Images have shape (..., B, C, H, W), with any number of leading dimensions (posterior samples) before the
    batch. So do measurements, whose last three sizes may be others; those of a real image may be complex. The
    result for an image does not depend on the rest of its batch. A scale `t` is a positive float, or a tensor
    of positive values that broadcasts to ``x.shape[:-3]`` (one per image or per chain). Tensors keep their
    dtype and device; where float32 would lose the result (``t / eta`` large, or `t` a tensor) the posterior
    steps compute in float64 inside.

    Parameters
    ----------
    noise_std
        Standard deviation ``eta > 0`` of the measurement noise; of each of both parts where the measurement
        is complex.

    Raises
    ------
    ValueError
        If `noise_std` is not a positive finite number.
    """

    tolerance = 3e-3
    max_iterations = 20_000

    def __init__(self, noise_std: float) -> None:
        self.noise_std = positive("noise_std", noise_std)

    @property
    def noise_stds(self) -> float | list[float]:
        """The noise in the units of the measurement; of several measurements, that of each."""
        return self.noise_std

    @property
    def acceleration(self) -> Tensor | None:
        """All samples of k-space over the measured ones, of each image; None of other measurements."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return ``A x``."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``A^H y``."""

    def _solve(self, b: Tensor, shift: float | Tensor) -> Tensor:
        """Return ``(A^H A + shift I)^(-1) b`` in the precision of `b`; a tensor `shift` has shape (..., 1, 1, 1).

        Without a closed form this runs conjugate gradients to `tolerance`, in units of the posterior's width.
        """
        return conjugate_gradients(self.normal, b, shift, self.tolerance * self.noise_std, self.max_iterations)

    def _posterior_noise(self, z: Tensor, shift: float | Tensor) -> Tensor:
        """Return ``eta (A^H A + shift I)^(-1/2) z`` in the precision of `z`."""
        raise ValueError(f"{type(self).__name__} has no P^(1/2) for the published noise: take another noise")

    def normal(self, x: Tensor) -> Tensor:
        """Return ``A^H A x``."""
        return self.adjoint(self.forward(x))

    def spectral_filter(self, x: Tensor, response: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``f(A^H A) x`` for a real function f of the eigenvalues of ``A^H A``, given as `response`.

        Raises
        ------
        ValueError
            If the eigenvectors of ``A^H A`` are not known.
        """
        raise ValueError(f"{type(self).__name__} has no known spectrum: take a sampler without a pseudo-inverse")

    def measurement_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of ``A x`` for an `x` of `shape`."""
        return tuple(shape)

    def solve(self, b: Tensor, t: float | Tensor) -> Tensor:
        """Return ``(A^H A + eta^2 / t^2 I)^(-1) b``.

        Raises
        ------
        ValueError
            If `t` is not positive or does not broadcast to ``b.shape[:-3]``.
        """
        t = _as_scale(t, b)
        wide = b.to(self._solve_dtype(b.dtype, t))
        return self._solve(wide, (self.noise_std / t) ** 2).to(b.dtype)

    def posterior_mean(self, d: Tensor, y: Tensor, t: float | Tensor) -> Tensor:
        """Return ``P (A^H y / eta^2 + d / t^2)``, the mean of the posterior under the prior ``N(d, t^2 I)``.

        It is computed as ``d + (A^H A + eta^2 / t^2 I)^(-1) A^H (y - A d)``, which keeps its accuracy at
        large `t`.

        Parameters
        ----------
        d
            Denoised image, (..., B, C, H, W).
        y
            Measurement of `d`'s ``measurement_shape``, or broadcastable to it.
        t
            Scale: a positive float, or a tensor that broadcasts to ``d.shape[:-3]``.

        Raises
        ------
        ValueError
            If `t` or the shapes of `d` and `y` do not fit.

        References
        ----------
        Chand, Jacob, "Annealed Langevin Posterior Sampling (ALPS)", arXiv 2601.02594: the data consistency
        step.
        """
        t = _as_scale(t, d)
        dtype = self._solve_dtype(d.dtype, t)
        return self._update(d.to(dtype), _in_precision(y, dtype), t).to(d.dtype)

    def posterior_sample(self, d: Tensor, y: Tensor, t: float | Tensor, noise: tuple[Tensor, Tensor]) -> Tensor:
        """Return an exact sample of the posterior under the prior ``N(d, t^2 I)`` by one perturbed solve.

        Parameters
        ----------
        d, y, t
            As in `posterior_mean`.
        noise
            Standard normal ``(e1, e2)``, of the shape of the measurement and of the image. The sample is the
            posterior mean for ``y + eta * e1`` and ``d + t * e2``; its covariance is exactly ``P``.

        Raises
        ------
        ValueError
            If `t` or the shapes do not fit.

        References
        ----------
        Papandreou, Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010.
        """
        e1, e2 = noise
        t = _as_scale(t, e2)
        dtype = self._solve_dtype(d.dtype, t)
        perturbed_d = d.to(dtype) + t * e2.to(dtype)
        perturbed_y = _in_precision(y, dtype) + self.noise_std * _in_precision(e1, dtype)
        return self._update(perturbed_d, perturbed_y, t).to(d.dtype)

    def posterior_noise(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Return ``P^(1/2) z`` as the reference code of ALPS draws it.

        Parameters
        ----------
        z
            Standard normal, of the image's shape.
        t
            Scale, as in `posterior_mean`.

        Raises
        ------
        ValueError
            If `t` is not positive or does not broadcast to ``z.shape[:-3]``.
        """
        t = _as_scale(t, z)
        wide = z.to(self._solve_dtype(z.dtype, t))
        return self._posterior_noise(wide, (self.noise_std / t) ** 2).to(z.dtype)

    def measure(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return ``A x + eta * noise``, zero where unmeasured, for `noise` of the measurement's shape."""
        return self._restrict(self.forward(x) + self.noise_std * noise)

    def restrict(self, y: Tensor) -> Tensor:
        """Return a measurement made elsewhere, zero where this operator measures nothing.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        self.adjoint(y)
        return self._restrict(y)

    def misfit(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``||A x - y||^2 / (2 eta^2)`` over the measured entries, of shape ``x.shape[:-3]``.

        Raises
        ------
        ValueError
            If the shape of `y` does not fit.
        """
        residual = self._restrict(self._residual(x, y))
        if residual.is_complex():
            residual = torch.view_as_real(residual).flatten(-2)
        return residual.square().sum(dim=(-3, -2, -1)) / (2 * self.noise_std**2)

    def measured_count(self, y: Tensor) -> Tensor:
        """Return how many real numbers are measured in each y (..., B, C, H, W), of shape ``y.shape[:-3]``."""
        measured = self._restrict(torch.ones_like(y)) != 0
        return measured.sum(dim=(-3, -2, -1)) * (2 if y.is_complex() else 1)

    def _restrict(self, y: Tensor) -> Tensor:
        """Return `y` with zeros where nothing is measured."""
        return y

    def _residual(self, x: Tensor, y: Tensor) -> Tensor:
        predicted = self.forward(x)
        check_fits("measurement", y.shape, predicted)
        return y - predicted

    def _update(self, d: Tensor, y: Tensor, t: float | Tensor) -> Tensor:
        return d + self._solve(self.adjoint(self._residual(d, y)), (self.noise_std / t) ** 2)

    def _solve_dtype(self, dtype: torch.dtype, t: float | Tensor) -> torch.dtype:
        # A tensor of scales is not looked at: that would wait for the device, and let one image's scale
        # decide for another.
        if isinstance(t, float) and t <= FLOAT32_MAX_RATIO * self.noise_std:
            return dtype
        return torch.promote_types(dtype, torch.float64)


class SpectralOperator(LinearOperator):
    """A linear operator whose ``A^H A`` is diagonal after a unitary transform (up to a constant factor).

    Solves and ``P^(1/2)`` are closed forms in the spectrum.
    """

    @abstractmethod
    def gain(self, x: Tensor) -> Tensor:
        """Return the eigenvalues of ``A^H A``, real, broadcastable to the spectrum of images like `x`."""

    @abstractmethod
    def to_spectrum(self, x: Tensor) -> Tensor:
        """Return the spectrum of `x`."""

    @abstractmethod
    def from_spectrum(self, spectrum: Tensor, x: Tensor) -> Tensor:
        """Return the image of a spectrum; `x` is any image of the same size and dtype."""

    def normal(self, x: Tensor) -> Tensor:
        """Return ``A^H A x``."""
        return self.from_spectrum(self.gain(x) * self.to_spectrum(x), x)

    def spectral_filter(self, x: Tensor, response: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``f(A^H A) x`` for a real function f of the eigenvalues of ``A^H A``, given as `response`."""
        return self.from_spectrum(response(self.gain(x)) * self.to_spectrum(x), x)

    def _solve(self, b: Tensor, shift: float | Tensor) -> Tensor:
        return self.from_spectrum(self.to_spectrum(b) / (self.gain(b) + shift), b)

    def _posterior_noise(self, z: Tensor, shift: float | Tensor) -> Tensor:
        return self.from_spectrum(self.to_spectrum(z) * (self.noise_std * (self.gain(z) + shift).rsqrt()), z)


def _in_precision(y: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `y`, real or complex as it is, in the precision of a dtype."""
    return y.to(dtype.to_complex() if y.is_complex() else dtype.to_real())


def _as_scale(t: float | Tensor, x: Tensor) -> float | Tensor:
    """Return `t` as a float, or as a float64 tensor (..., 1, 1, 1) that broadcasts to `x`."""
    if not isinstance(t, Tensor) or t.ndim == 0:
        return positive("t", t.item() if isinstance(t, Tensor) else t)
    check_fits("t", (*t.shape, 1, 1, 1), x)
    return t.to(torch.float64)[..., None, None, None]
