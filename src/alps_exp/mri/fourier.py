"""The centered orthonormal Fourier transform between k-space and images."""

from __future__ import annotations

import numpy as np
from scipy import fft

from alps_exp.crops import middle

Array = np.ndarray

IMAGE = (-2, -1)


def crop_readout(kspace: Array, rows: int) -> Array:
    """Return the k-space (..., rows, W) of the central `rows` of the images, with the same dtype.

    Columns must be fully sampled or not sampled at all along the readout, because the crop happens after a Fourier
    transform along it. White noise stays white with the same standard deviation.
    """
    stored = kspace.shape[-2]
    if rows == stored:
        return kspace
    return to_kspace(to_image(kspace, axes=(-2,))[..., middle(stored, rows), :], axes=(-2,))


def to_image(kspace: Array, axes: tuple[int, ...] = IMAGE) -> Array:
    """Return the centered orthonormal inverse Fourier transform, of the same dtype."""
    image: Array = fft.fftshift(fft.ifftn(fft.ifftshift(kspace, axes), axes=axes, norm="ortho"), axes)
    return image


def to_kspace(image: Array, axes: tuple[int, ...] = IMAGE) -> Array:
    """Return the centered orthonormal Fourier transform, of the same dtype."""
    kspace: Array = fft.fftshift(fft.fftn(fft.ifftshift(image, axes), axes=axes, norm="ortho"), axes)
    return kspace
