"""The centered orthonormal Fourier transform between k-space and images."""

from __future__ import annotations

import numpy as np
from scipy import fft

Array = np.ndarray

IMAGE = (-2, -1)


def crop_readout(kspace: Array, rows: int) -> Array:
    """Return k-space (..., rows, W) of the central `rows` of the images, of the same dtype.

    The rows must be fully sampled or not sampled at all: the crop happens after a Fourier transform along them. White
    noise stays white, with its standard deviation.
    """
    stored = kspace.shape[-2]
    if rows == stored:
        return kspace
    start = (stored - rows) // 2
    return to_kspace(to_image(kspace, axes=(-2,))[..., start : start + rows, :], axes=(-2,))


def to_image(kspace: Array, axes: tuple[int, ...] = IMAGE) -> Array:
    """Return the centered orthonormal inverse Fourier transform, of the same dtype."""
    return fft.fftshift(fft.ifftn(fft.ifftshift(kspace, axes), axes=axes, norm="ortho"), axes)


def to_kspace(image: Array, axes: tuple[int, ...] = IMAGE) -> Array:
    """Return the centered orthonormal Fourier transform, of the same dtype."""
    return fft.fftshift(fft.fftn(fft.ifftshift(image, axes), axes=axes, norm="ortho"), axes)


def central(size: int, count: int) -> slice:
    """Return the `count` samples around zero frequency, which sits at size // 2."""
    start = size // 2 - count // 2
    return slice(start, start + count)
