"""From coil images to the image of the object and back, also where it exceeds the field of view."""

from __future__ import annotations

import numpy as np
import torch

from alps_exp.folding import Folding
from alps_exp.mri.fourier import Array


def combine(coil_images: Array, maps: Array) -> Array:
    """Return the image (1, H', W') that explains coil images (coils, H, W) best, given maps (coils, H', W').

    Maps of the size of the coil images are unit vectors, or zero. Of larger ones, those of the points that fold onto
    one pixel are not orthogonal: a least-squares problem for every pixel.
    """
    if maps.shape == coil_images.shape:
        image: Array = (maps.conj() * coil_images).sum(0, keepdims=True)
        return image
    folding = Folding(maps.shape[-2:], coil_images.shape[-2:])
    parts = folding.split(torch.from_numpy(maps)).movedim(1, -1).movedim(0, -2)  # (H, W, coils, parts)
    pixels = torch.from_numpy(coil_images).movedim(0, -1)
    found = torch.linalg.pinv(parts.to(torch.complex128)) @ pixels.to(torch.complex128)[..., None]
    return folding.merge(found.squeeze(-1).movedim(-1, 0).to(pixels.dtype))[None].numpy()


def source_scale(maps: Array, whitening: Array) -> Array:
    """Return the root sum of squares (1, H, W) over the coils as stored, of the coil images of an image that is 1.

    Times the magnitude of any image, it is the root sum of squares of that image's coil images: the stored coils c of
    an image x are ``whitening^-1 maps x``, so that ``sqrt(sum |c|^2) = |whitening^-1 maps| |x|`` at every pixel.

    Parameters
    ----------
    maps
        Sensitivity maps (coils, H, W) of whitened coils.
    whitening
        The matrix (coils, coils) that k-space was multiplied with.
    """
    stored_coils = np.linalg.inv(whitening)
    norm: Array = np.linalg.norm(np.einsum("ij,jhw->ihw", stored_coils, maps), axis=0, keepdims=True)
    return norm


def fold(image: Array, shape: tuple[int, ...]) -> Array:
    """Return what an image (..., H', W') looks like in the field of view (..., H, W) of `shape` (H, W)."""
    if image.shape[-2:] == shape:
        return image
    folded: Array = Folding(image.shape[-2:], shape).split(torch.from_numpy(image)).sum(-3).numpy()
    return folded
