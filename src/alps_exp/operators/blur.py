"""Circular blur: convolution with periodic boundaries, diagonal in Fourier space."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.operators.base import LinearOperator, SpectralOperator, check_fits
from alps_exp.operators.cg import Rough


class CircularBlur(SpectralOperator):
    """Circular convolution over the last two dimensions of real or complex images, given by its transfer function."""

    def __init__(self, noise_std: float) -> None:
        super().__init__(noise_std)
        self._cache: dict[tuple[int, int, torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    @abstractmethod
    def transfer_function(self, height: int, width: int) -> Tensor:
        """Return the 2-D Fourier transform of the real kernel at image size, (H, W), in double precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the blurred image."""
        return self.from_spectrum(self.transfer_and_gain(x)[0] * self.to_spectrum(x), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the correlation of `y` with the kernel."""
        return self.from_spectrum(self.transfer_and_gain(y)[0].conj() * self.to_spectrum(y), y)

    def gain(self, x: Tensor) -> Tensor:
        """Return ``|transfer function|^2`` at the frequencies of the spectrum of `x`."""
        return self.transfer_and_gain(x)[1]

    def to_spectrum(self, x: Tensor) -> Tensor:
        """Return the Fourier transform of `x`; for real `x` only the non-redundant half."""
        spectrum: Tensor = torch.fft.fft2(x) if x.is_complex() else torch.fft.rfft2(x)
        return spectrum

    def from_spectrum(self, spectrum: Tensor, x: Tensor) -> Tensor:
        """Return the image of a spectrum; `x` is any image of the same size and dtype."""
        image: Tensor = torch.fft.ifft2(spectrum) if x.is_complex() else torch.fft.irfft2(spectrum, s=x.shape[-2:])
        return image

    def _update(self, d: Tensor, y: Tensor, t: float | Tensor, rough: Rough | None) -> Tensor:
        check_fits("measurement", y.shape, d.shape)
        transfer, gain = self.transfer_and_gain(d)
        residual = self.to_spectrum(y) - transfer * self.to_spectrum(d)
        return d + self.from_spectrum(transfer.conj() * residual / (gain + (self.noise_std / t) ** 2), d)

    def reduced(self, y: Tensor) -> tuple[LinearOperator, Tensor]:
        """Return the blur measured in Fourier space, where a product costs one transform, and `y` there."""
        operator = ReducedBlur(self, y)
        return operator, operator.reduce(y)

    def transfer_and_gain(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the transfer function and its square at the frequencies of the spectrum of `x`, in its precision."""
        height, width = x.shape[-2:]
        key = (height, width, x.dtype, x.device)
        if key not in self._cache:
            transfer = self.transfer_function(height, width)
            if not x.is_complex():
                transfer = transfer[:, : width // 2 + 1]
            gain = transfer.abs().square()
            self._cache[key] = (
                transfer.to(x.device, x.dtype.to_complex()),
                gain.to(x.device, x.dtype.to_real()),
            )
        return self._cache[key]


class ReducedBlur(SpectralOperator):
    """Circular blur with the unitary Fourier transform of the measurement in place of the measurement.

    White noise remains white. Of real images only the non-redundant half (..., H, W // 2 + 1) is kept. Frequencies that
    stand for two are weighted by sqrt(2), so that inner products are those of the images.

    Parameters
    ----------
    blur
        The blur.
    image
        Any image, or measurement, of the size and dtype of the images, (..., H, W).
    """

    def __init__(self, blur: CircularBlur, image: Tensor) -> None:
        super().__init__(blur.noise_std)
        self.blur, self.image = blur, image
        height, width = image.shape[-2:]
        transfer, self._gain = blur.transfer_and_gain(image)
        counts = torch.ones(transfer.shape[-1], dtype=torch.float64)
        if not image.is_complex():
            counts[1 : (width + 1) // 2] = 2
        self._weights = (counts / (height * width)).sqrt().to(image.device, image.dtype.to_real())
        self._to_measurement, self._to_image = self._weights * transfer, transfer.conj() / self._weights

    def reduce(self, y: Tensor) -> Tensor:
        """Return the transform (..., H, W // 2 + 1), of complex images (..., H, W), of a measurement (..., H, W)."""
        return self._weights * self.to_spectrum(y)

    def forward(self, x: Tensor) -> Tensor:
        """Return the transform of the blurred image."""
        return self._to_measurement * self.to_spectrum(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the correlation with the kernel of the image that `y` is the transform of."""
        return self.from_spectrum(self._to_image * y, self.image)

    def measurement_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the transform of images of `shape`."""
        return (*shape[:-1], self._weights.shape[-1])

    def gain(self, x: Tensor) -> Tensor:
        """Return ``|transfer function|^2``."""
        return self._gain

    def to_spectrum(self, x: Tensor) -> Tensor:
        """Return the Fourier transform of `x` as the blur does, not weighted."""
        return self.blur.to_spectrum(x)

    def from_spectrum(self, spectrum: Tensor, x: Tensor) -> Tensor:
        """Return the image of a spectrum."""
        return self.blur.from_spectrum(spectrum, x)

    def solve_measured(self, r: Tensor, t: float, rough: Rough | None = None) -> Tensor:
        """Return ``(I + t^2 / eta^2 A A^H)^(-1) r``."""
        return r / (1 + (t / self.noise_std) ** 2 * self._gain)

    def _update(self, d: Tensor, y: Tensor, t: float | Tensor, rough: Rough | None) -> Tensor:
        check_fits("measurement", y.shape, self.measurement_shape(d.shape))
        solution = self._to_image / (self._gain + (self.noise_std / t) ** 2)
        return d + self.from_spectrum(solution * (y - self.forward(d)), d)


class Blur(CircularBlur):
    """Circular convolution with any real kernel.

    Parameters
    ----------
    kernel
        Real kernel (kh, kw); its center is at ``(kh // 2, kw // 2)``, as in
        ``scipy.ndimage.convolve(mode="wrap")``.
    noise_std
        Standard deviation ``eta > 0`` of the measurement noise.

    Raises
    ------
    ValueError
        If `kernel` is not a real, finite matrix or `noise_std` is not positive; in use, if the kernel is larger than an
        image.
    """

    def __init__(self, kernel: Tensor, noise_std: float) -> None:
        super().__init__(noise_std)
        if kernel.ndim != 2 or kernel.is_complex() or not kernel.isfinite().all():
            raise ValueError(f"kernel must be a real finite (kh, kw) matrix, got {kernel.dtype} {tuple(kernel.shape)}")
        self.kernel = kernel

    def transfer_function(self, height: int, width: int) -> Tensor:
        """Return the 2-D discrete Fourier transform of the kernel at image size, (H, W), complex128.

        Raises
        ------
        ValueError
            If the kernel is larger than the image.
        """
        kh, kw = self.kernel.shape
        if kh > height or kw > width:
            raise ValueError(f"blur kernel of {kh} x {kw} pixels is larger than the image of {height} x {width}")
        padded = torch.zeros(height, width, dtype=torch.float64)
        padded[:kh, :kw] = self.kernel
        transfer: Tensor = torch.fft.fft2(padded.roll((-(kh // 2), -(kw // 2)), dims=(0, 1)))
        return transfer


class GaussianBlur(CircularBlur):
    """Circular Gaussian blur with transfer function ``exp(-2 pi^2 sigma^2 |f|^2)``, f in cycles per pixel.

    This is the definition of the reference code of arXiv 2601.02594; the kernel is not truncated.

    Parameters
    ----------
    sigma
        Standard deviation of the kernel in pixels, > 0.
    noise_std
        Standard deviation ``eta > 0`` of the measurement noise.

    Raises
    ------
    ValueError
        If `sigma` or `noise_std` is not a positive finite number.

    Examples
    --------
    >>> import torch
    >>> GaussianBlur(sigma=1.5, noise_std=0.05).forward(torch.ones(1, 3, 8, 8)).mean().item()
    1.0
    """

    def __init__(self, sigma: float, noise_std: float) -> None:
        super().__init__(noise_std)
        self.sigma = positive("sigma", sigma)

    def transfer_function(self, height: int, width: int) -> Tensor:
        """Return ``exp(-2 pi^2 sigma^2 |f|^2)``, (H, W), float64."""
        fy = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
        fx = torch.fft.fftfreq(width, dtype=torch.float64)
        return torch.exp(-2 * (math.pi * self.sigma) ** 2 * (fy**2 + fx**2))


class MotionBlur(Blur):
    """Circular blur by uniform motion along a straight line.

    `line_kernel` builds the kernel on the smallest odd grid that contains the line. An odd grid has a central pixel, so
    the blur does not shift the image.

    Parameters
    ----------
    length
        Length of the line in pixels, > 0.
    angle
        Direction of the line in degrees, from the direction of increasing columns toward increasing rows.
    noise_std
        Standard deviation ``eta > 0`` of the measurement noise.

    Raises
    ------
    ValueError
        If `length` or `noise_std` is not positive or `angle` is not finite; in use, if the line does not fit an image.

    Examples
    --------
    >>> import torch
    >>> operator = MotionBlur(length=3, angle=0, noise_std=0.05)
    >>> x = torch.zeros(1, 1, 5, 5)
    >>> x[..., 2, 2] = 3
    >>> [round(value, 2) for value in operator.forward(x)[0, 0, 2].tolist()]  # the ends of the line are round
    [0.03, 0.98, 0.98, 0.98, 0.03]
    """

    def __init__(self, length: float, angle: float, noise_std: float) -> None:
        length = positive("length", length)
        if not math.isfinite(angle):
            raise ValueError(f"angle must be a finite number of degrees, got {angle!r}")
        dy, dx = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
        # The 1e-9 keeps rounding, as in cos(90 degrees) = 6e-17, from adding a row or column.
        height, width = (2 * math.ceil(length / 2 * extent - 1e-9) + 1 for extent in (dy, dx))
        super().__init__(line_kernel(length, angle, height, width), noise_std)
        self.length, self.angle = length, angle


def line_kernel(length: float, angle: float, height: int, width: int) -> Tensor:
    """Return the unit-sum kernel of a uniform line through the grid center ``((H-1)/2, (W-1)/2)``.

    Points along the line are splatted bilinearly onto an eight times finer grid, which is then averaged, as in the
    reference code of arXiv 2601.02594. There the grid is the whole image; if its size is even, the center lies between
    pixels and the blur also shifts the image by half a pixel.

    Parameters
    ----------
    length, angle
        Length in pixels; direction in degrees, from increasing columns toward increasing rows.
    height, width
        Size of the grid; parts of the line outside it are dropped.

    Returns
    -------
    Tensor
        Kernel (H, W), float64.
    """
    num_points = max(64, int(16 * length))
    positions = torch.linspace(-length / 2, length / 2, num_points, dtype=torch.float64)
    rows = _pixel_weights(positions * math.sin(math.radians(angle)), height)
    columns = _pixel_weights(positions * math.cos(math.radians(angle)), width)
    kernel = rows.T @ columns
    return kernel / kernel.sum()


def _pixel_weights(offset: Tensor, size: int, oversampling: int = 8) -> Tensor:
    """Return the weights (points, size) with which points at `offset` pixels from the row's center hit each pixel."""
    middle = (oversampling * size - 1) / 2
    cells = torch.arange(oversampling * size, dtype=offset.dtype)
    hat = (1 - (middle + oversampling * offset[:, None] - cells).abs()).clamp(min=0)
    weights: Tensor = hat.unflatten(1, (size, oversampling)).sum(2)
    return weights
