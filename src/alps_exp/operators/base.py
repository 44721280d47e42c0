"""The interface of linear forward operators and the posterior step built on it.

Throughout, ``P = (A^H A / eta^2 + I / t^2)^(-1)`` is the posterior covariance of an image with prior ``N(d, t^2 I)``,
measured as ``y = A x + eta * eps``. For complex data, the real and the imaginary part of ``eps`` each have standard
deviation 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.operators.cg import Rough, conjugate_gradients
from alps_exp.representation import ShowsItsArguments

# Relative to the posterior's width, float32 rounding in the null space of A grows like eps * t^2 / eta^2. Above this
# t / eta the solve therefore runs in float64. (At 300 the error is 0.4 % with 8 coils and 4x undersampling.)
FLOAT32_MAX_RATIO = 100.0


def check_fits(name: str, shape: Sequence[int], target: Sequence[int]) -> None:
    """Check that a tensor of `shape` broadcasts to one of the shape `target` without enlarging it.

    Raises
    ------
    ValueError
        If it does not; `name` identifies the tensor in the message.
    """
    dims = zip(reversed(shape), reversed(target), strict=False)
    if len(shape) > len(target) or any(size not in (1, expected) for size, expected in dims):
        raise ValueError(f"{name} of shape {tuple(shape)} does not fit a tensor of shape {tuple(target)}")


class LinearOperator(ShowsItsArguments, ABC):
    """A linear forward operator, ``y = A x + eta * eps`` with standard normal ``eps``.

    Images have shape (..., B, C, H, W), with any number of leading dimensions (posterior samples) before the batch.
    Measurements have the same leading dimensions, but may differ in the last three sizes; the measurement of a real
    image may be complex. The result for an image does not depend on the rest of its batch. A scale `t` is a positive
    float, or a tensor of positive values that broadcasts to ``x.shape[:-3]`` (one per image or per chain). Tensors keep
    their dtype and device. If float32 is not accurate enough (large ``t / eta``) or `t` is a tensor, the posterior
    steps compute in float64 internally.

    Parameters
    ----------
    noise_std
        Standard deviation ``eta > 0`` of the measurement noise; for complex measurements, of the real and of the
        imaginary part each.

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
        """Noise standard deviation in the units of the measurement; for joint measurements a list with one for each."""
        return self.noise_std

    @property
    def acceleration(self) -> Tensor | None:
        """Number of k-space samples over the number measured, per image; None if the measurement is not k-space."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return ``A x``."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``A^H y``."""

    def reduced(self, y: Tensor) -> tuple[LinearOperator, Tensor]:
        """Return an operator and its measurement with the same posterior for any prior, at the least cost per step.

        The misfit may differ by a constant, and the measurement in shape. The default returns this operator and `y`.
        """
        return self, y

    def _solve(self, b: Tensor, shift: float | Tensor) -> Tensor:
        """Return ``(A^H A + shift I)^(-1) b`` in the precision of `b`; a tensor `shift` has shape (..., 1, 1, 1).

        The default runs conjugate gradients to `tolerance`, in units of the posterior's width; subclasses with a closed
        form override it.
        """
        return self._iterate(b, shift)

    @property
    def _iterates(self) -> bool:
        """Whether a solve runs conjugate gradients."""
        return type(self)._solve is LinearOperator._solve

    def _iterate(self, b: Tensor, shift: float | Tensor, rough: Rough | None = None) -> Tensor:
        tolerance = self.tolerance * self.noise_std
        allowed = None if rough is None else rough.allowed
        return conjugate_gradients(self.normal, b, shift, tolerance, self.max_iterations, allowed)

    def _posterior_noise(self, z: Tensor, shift: float | Tensor) -> Tensor:
        """Return ``eta (A^H A + shift I)^(-1/2) z`` in the precision of `z`."""
        raise ValueError(f"{type(self).__name__} has no P^(1/2), which noise=reference needs: choose another noise")

    def normal(self, x: Tensor) -> Tensor:
        """Return ``A^H A x``."""
        return self.adjoint(self.forward(x))

    @property
    def has_spectrum(self) -> bool:
        """Whether the eigenvectors of ``A^H A`` are known, so that it has a `spectral_filter`."""
        return type(self).spectral_filter is not LinearOperator.spectral_filter

    def spectral_filter(self, x: Tensor, response: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``f(A^H A) x`` for a real function f of the eigenvalues of ``A^H A``, given as `response`.

        Raises
        ------
        ValueError
            If the eigenvectors of ``A^H A`` are not known.
        """
        raise ValueError(f"{type(self).__name__} has no known spectrum: choose a sampler without a pseudo-inverse")

    def measurement_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of ``A x`` for an `x` of `shape`."""
        return tuple(shape)

    def solve(self, b: Tensor, t: float | Tensor, rough: Rough | None = None) -> Tensor:
        """Return ``(A^H A + eta^2 / t^2 I)^(-1) b``; `rough` as in `posterior_mean`.

        Raises
        ------
        ValueError
            If `t` is not positive or does not broadcast to ``b.shape[:-3]``.
        """
        t = _as_scale(t, b)
        promoted = b.to(self._solve_dtype(b.dtype, t, rough))
        return self._solve_to(promoted, (self.noise_std / t) ** 2, rough).to(b.dtype)

    def solve_measured(self, r: Tensor, t: float, rough: Rough | None = None) -> Tensor:
        """Return ``(I + t^2 / eta^2 A A^H)^(-1) r`` for an `r` like the measurement; `rough` as in `posterior_mean`.

        The default uses the Woodbury identity. It is a difference of terms that agree up to ``eta^2 / t^2`` in measured
        components, hence the precision.
        """
        promoted = _in_precision(r, self._solve_dtype(r.dtype, t))
        b = self.adjoint(promoted)
        solution = self.solve(b if rough is None else _in_precision(b, r.dtype), t, rough)
        return (promoted - self.forward(_in_precision(solution, promoted.dtype))).to(r.dtype)

    def posterior_mean(self, d: Tensor, y: Tensor, t: float | Tensor, rough: Rough | None = None) -> Tensor:
        """Return ``P (A^H y / eta^2 + d / t^2)``, the mean of the posterior under the prior ``N(d, t^2 I)``.

        It is computed as ``d + (A^H A + eta^2 / t^2 I)^(-1) A^H (y - A d)``, which stays accurate at large `t`.

        Parameters
        ----------
        d
            Denoised image, (..., B, C, H, W).
        y
            Measurement, of the ``measurement_shape`` of `d` or broadcastable to it.
        t
            Scale: a positive float, or a tensor that broadcasts to ``d.shape[:-3]``.
        rough
            How conjugate gradients, where they solve, may be less exact than the operator's tolerance; its start is
            an approximate ``mean - d``.

        Raises
        ------
        ValueError
            If `t` is not positive or does not broadcast, or the shapes of `d` and `y` do not match.

        References
        ----------
        Chand, Jacob, "Annealed Langevin Posterior Sampling (ALPS)", arXiv 2601.02594: the data consistency
        step.
        """
        t = _as_scale(t, d)
        dtype = self._update_dtype(d.dtype, t, rough)
        return self._update(d.to(dtype), _in_precision(y, dtype), t, rough).to(d.dtype)

    def posterior_sample(self, d: Tensor, y: Tensor, t: float | Tensor, noise: tuple[Tensor, Tensor]) -> Tensor:
        """Draw an exact sample of the posterior under the prior ``N(d, t^2 I)`` by a single perturbed solve.

        Parameters
        ----------
        d, y, t
            As in `posterior_mean`.
        noise
            Standard normal ``(e1, e2)``, in the shapes of the measurement and of the image. The sample is the posterior
            mean for ``y + eta * e1`` and ``d + t * e2``; its covariance is exactly ``P``.

        Raises
        ------
        ValueError
            If `t` is not positive or does not broadcast, or the shapes do not match.

        References
        ----------
        Papandreou, Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010.
        """
        e1, e2 = noise
        t = _as_scale(t, e2)
        dtype = self._update_dtype(d.dtype, t, None)
        perturbed_d = d.to(dtype) + t * e2.to(dtype)
        perturbed_y = _in_precision(y, dtype) + self.noise_std * _in_precision(e1, dtype)
        return self._update(perturbed_d, perturbed_y, t, None).to(d.dtype)

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
        promoted = z.to(self._solve_dtype(z.dtype, t))
        return self._posterior_noise(promoted, (self.noise_std / t) ** 2).to(z.dtype)

    def measure(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return ``A x + eta * noise``, zero where unmeasured, for `noise` of the measurement's shape."""
        return self._restrict(self.forward(x) + self.noise_std * noise)

    def restrict(self, y: Tensor) -> Tensor:
        """Return an external measurement `y`, zeroed where this operator measures nothing.

        Raises
        ------
        ValueError
            If the shape of `y` does not match.
        """
        self.adjoint(y)  # only for its shape checks
        return self._restrict(y)

    def misfit(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``||A x - y||^2 / (2 eta^2)`` over the measured entries, of shape ``x.shape[:-3]``.

        Raises
        ------
        ValueError
            If the shape of `y` does not match.
        """
        residual = self._restrict(self._residual(x, y))
        if residual.is_complex():
            residual = torch.view_as_real(residual).flatten(-2)
        return residual.square().sum(dim=(-3, -2, -1)) / (2 * self.noise_std**2)

    def measured_count(self, y: Tensor) -> Tensor:
        """Return the number of measured real values in each y (..., B, C, H, W), of shape ``y.shape[:-3]``.

        A complex entry counts as two.
        """
        measured = self._restrict(torch.ones_like(y)) != 0
        return measured.sum(dim=(-3, -2, -1)) * (2 if y.is_complex() else 1)

    def log_normalizer(self, y: Tensor) -> Tensor:
        """Return ``M/2 log(2 pi eta^2)`` of M measured real values, of shape ``y.shape[:-3]``.

        The density of `y` given `x` is ``exp(-misfit - log_normalizer)``.
        """
        return self.measured_count(y) / 2 * math.log(2 * math.pi * self.noise_std**2)

    def _restrict(self, y: Tensor) -> Tensor:
        """Return `y` with zeros where nothing is measured."""
        return y

    def _residual(self, x: Tensor, y: Tensor) -> Tensor:
        predicted = self.forward(x)
        check_fits("measurement", y.shape, predicted.shape)
        return y - predicted

    def _residual_image(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``A^H (y - A x)``."""
        return self.adjoint(self._residual(x, y))

    def _update(self, d: Tensor, y: Tensor, t: float | Tensor, rough: Rough | None) -> Tensor:
        shift = (self.noise_std / t) ** 2
        if rough is None or rough.start is None or not self._iterates:
            return d + self._solve_to(self._residual_image(d, y), shift, rough)
        start = rough.start.to(d.dtype)
        near = d + start
        return near + self._iterate(self._residual_image(near, y) - shift * start, shift, rough)

    def _solve_to(self, b: Tensor, shift: float | Tensor, rough: Rough | None) -> Tensor:
        return self._iterate(b, shift, rough) if self._iterates and rough is not None else self._solve(b, shift)

    def _update_dtype(self, dtype: torch.dtype, t: float | Tensor, rough: Rough | None) -> torch.dtype:
        """Return the precision in which `_update` computes."""
        return self._solve_dtype(dtype, t, rough)

    def _solve_dtype(self, dtype: torch.dtype, t: float | Tensor, rough: Rough | None = None) -> torch.dtype:
        # The values of a tensor t are not inspected: that would synchronize with the device, and the precision for one
        # image would depend on the scale of another.
        if isinstance(t, float) and t <= FLOAT32_MAX_RATIO * self.noise_std:
            return dtype
        if rough is not None and self._iterates:
            return dtype  # so few iterations never reach the directions that enlarge rounding errors
        return torch.promote_types(dtype, torch.float64)


class ClosedFormUpdate(LinearOperator):
    """A linear operator whose posterior step is a closed form that float32 suffices for at every scale.

    Such an `_update` applies ``A^H (A A^H + eta^2 / t^2 I)^(-1)`` to the residual as a whole. That map enlarges
    rounding errors by no more than ``t / (2 eta)``; a solve of ``A^H (y - A d)`` enlarges them by ``t^2 / eta^2``.
    """

    def _update_dtype(self, dtype: torch.dtype, t: float | Tensor, rough: Rough | None) -> torch.dtype:
        return dtype


class SpectralOperator(ClosedFormUpdate):
    """A linear operator that is diagonal after a unitary transform (up to a constant factor).

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

    def solve_measured(self, r: Tensor, t: float, rough: Rough | None = None) -> Tensor:
        """Return ``(I + t^2 / eta^2 A A^H)^(-1) r``."""
        return self.spectral_filter(r, lambda gain: 1 / (1 + (t / self.noise_std) ** 2 * gain))

    def _solve(self, b: Tensor, shift: float | Tensor) -> Tensor:
        return self.from_spectrum(self.to_spectrum(b) / (self.gain(b) + shift), b)

    def _posterior_noise(self, z: Tensor, shift: float | Tensor) -> Tensor:
        return self.from_spectrum(self.to_spectrum(z) * (self.noise_std * (self.gain(z) + shift).rsqrt()), z)


def _in_precision(y: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `y` in the precision of `dtype`; it stays real or complex."""
    return y.to(dtype.to_complex() if y.is_complex() else dtype.to_real())


def _as_scale(t: float | Tensor, x: Tensor) -> float | Tensor:
    """Return `t` as a float, or as a float64 tensor (..., 1, 1, 1) that broadcasts to `x`."""
    if not isinstance(t, Tensor) or t.ndim == 0:
        return positive("t", t.item() if isinstance(t, Tensor) else t)
    check_fits("t", (*t.shape, 1, 1, 1), x.shape)
    return t.to(torch.float64)[..., None, None, None]
