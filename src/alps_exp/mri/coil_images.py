"""From coil images to the image of the object and back, also where it exceeds the field of view."""

from __future__ import annotations

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


def fold(image: Array, shape: tuple[int, ...]) -> Array:
    """Return what an image (..., H', W') looks like in the field of view (..., H, W) of `shape` (H, W)."""
    if image.shape[-2:] == shape:
        return image
    folded: Array = Folding(image.shape[-2:], shape).split(torch.from_numpy(image)).sum(-3).numpy()
    return folded
