"""The root-sum-of-squares images that fastMRI's files bring as the target of reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alps_exp.crops import center_crop
from alps_exp.mri.coil_images import source_scale
from alps_exp.mri.fourier import Array, to_image
from alps_exp.mri.kspace import RSS

TOLERANCE = 0.01  # relative distance of a target from the root sum of squares of its own k-space


@dataclass(frozen=True)
class RSSTarget:
    """The target of the slices of a volume, and what makes an image comparable to it.

    Attributes
    ----------
    images : Array
        (slices, h, w) float32, the largest value of the volume 1.
    weights : Array
        (slices, H, W) float32: the root sum of squares over the coils as they were stored, before whitening, of the
        coil images of an image x is ``weights * abs(x)``, in the units of `images`.
    """

    images: Array
    weights: Array


def rss_target(
    target: Array, maps: Sequence[Array], whitening: Array, scale: float, fully_sampled: Sequence[Array]
) -> tuple[RSSTarget | None, list[str]]:
    """Return the target of a volume, or None if it is not of these images; and what is to be said of it.

    Parameters
    ----------
    target
        Root-sum-of-squares images (slices, h, w) of the center, as far as the file holds what it should.
    maps
        Sensitivity maps of every slice (coils, H, W), of whitened coils.
    whitening
        The matrix (coils, coils) that k-space was multiplied with.
    scale
        Factor by which images were divided after whitening.
    fully_sampled
        K-space before whitening (coils, H, W) of the fully sampled slices, with zeros in place of the others.
    """
    images = [np.linalg.norm(to_image(one), axis=0) for one in fully_sampled]
    if fault := _fault(target, images, maps[0].shape[-2:]):
        return None, [f"{RSS} {fault}: metrics of volumes are those of the combined coils"]
    largest = float(target.max())
    weights = np.concatenate([source_scale(of_slice, whitening) for of_slice in maps])
    scaled = weights * (scale / largest)
    return RSSTarget((target / largest).astype(np.float32), scaled.astype(np.float32)), []


def _fault(target: Array, images: Sequence[Array], shape: tuple[int, ...]) -> str:
    """Return why a target is not one of these images (H, W), which are zero where that is not known; "" if it is."""
    if target.ndim != 3 or len(target) != len(images) or target.dtype.kind not in "fiu":
        return f"holds {target.dtype} of the shape {target.shape}, expected {len(images)} real images"
    if not target.size or not np.isfinite(target).all() or not target.max() > 0:
        return "is zero or not finite"
    if images[0].shape != shape or not all(1 <= a <= b for a, b in zip(target.shape[1:], shape, strict=True)):
        return f"has images of {target.shape[1]} x {target.shape[2]}, which do not fit those of {shape[0]} x {shape[1]}"
    known = [i for i, image in enumerate(images) if image.any()]
    centers = np.stack([center_crop(image, target.shape[-2:]) for image in images])
    distance = np.linalg.norm((centers - target)[known]) / np.linalg.norm(target[known]) if known else 0.0
    return "" if distance <= TOLERANCE else f"is not the root sum of squares of this k-space (off by {distance:.0%})"
