"""What a slice adds to the metrics of its volume: slices are restored apart, in any order, so each keeps its sums."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from alps_exp.evaluation.metrics import uniform_ssim

_PIXELS = (-3, -2, -1)


def slice_sums(magnitude: Tensor, reference: Tensor) -> dict[str, Tensor]:
    """Return what a slice adds to the metrics of its volume, see `alps_exp.report.volume_metrics`.

    Parameters
    ----------
    magnitude
        Magnitude of the estimate, ``(..., 1, H, W)``.
    reference
        Reference of the same shape, or one that broadcasts; the largest value of its volume is 1.

    Returns
    -------
    dict[str, Tensor]
        ``pixels``, ``squared_error``, ``squared_reference`` and ``ssim``, each of shape ``magnitude.shape[:-3]``.

    Raises
    ------
    ValueError
        If an image is below 7 x 7 pixels.
    """
    images = magnitude.double().reshape(-1, *magnitude.shape[-3:])
    references = reference.double().expand_as(magnitude).reshape(images.shape)
    sums = {
        "pixels": torch.full((len(images),), math.prod(images.shape[1:])),
        "squared_error": (images - references).square().sum(_PIXELS),
        "squared_reference": references.square().sum(_PIXELS),
        "ssim": uniform_ssim(images, references, 1.0),
    }
    return {name: values.reshape(magnitude.shape[:-3]) for name, values in sums.items()}
