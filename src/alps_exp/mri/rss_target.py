"""The root-sum-of-squares images that fastMRI's files bring as the target of reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alps_exp.crops import center_crop
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
        Root-sum-of-squares images (slices, h, w) of the center.
    maps
        Sensitivity maps of every slice (coils, H, W), of whitened coils.
    whitening
        The matrix (coils, coils) that k-space was multiplied with.
    scale
        Factor by which images were divided after whitening.
    fully_sampled
        K-space before whitening (coils, H, W) of the fully sampled slices, with zeros in place of the others.
    """
    largest, (rows, columns) = float(target.max()), maps[0].shape[-2:]
    images = [np.linalg.norm(to_image(one), axis=0) for one in fully_sampled]
    if target.shape[-2] > rows or target.shape[-1] > columns or images[0].shape != (rows, columns) or not largest > 0:
        return None, [f"{RSS} is not of the size of the images: metrics of volumes are those of the combined coils"]
    known = [i for i, image in enumerate(images) if image.any()]
    centers = np.stack([center_crop(image, target.shape[-2:]) for image in images])
    distance = np.linalg.norm((centers - target)[known]) / np.linalg.norm(target[known]) if known else 0.0
    if distance > TOLERANCE:
        reason = f"{RSS} is not the root sum of squares of this k-space (off by {distance:.0%})"
        return None, [f"{reason}: metrics of volumes are those of the combined coils"]
    stored_coils = np.linalg.inv(whitening)
    weights = [np.linalg.norm(np.einsum("ij,jhw->ihw", stored_coils, of_slice), axis=0) for of_slice in maps]
    scaled = np.stack(weights) * (scale / largest)
    return RSSTarget((target / largest).astype(np.float32), scaled.astype(np.float32)), []
