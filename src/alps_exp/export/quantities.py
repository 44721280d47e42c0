"""What is exported of an image: its estimates and their uncertainty, in the units of its source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alps_exp.runs import ESTIMATES, ImageResult

Array = np.ndarray

_ESTIMATES = {
    "sample": "the first posterior sample",
    "mmse": "the mean of the posterior samples",
    "map": "the minimizer that was found of the negative log posterior",
    "point": "the reconstruction, which has no uncertainty",
    "samples": "all posterior samples",
}
MEANINGS = {
    **_ESTIMATES,
    **{f"{name}_magnitude": f"the magnitude of {meaning}" for name, meaning in _ESTIMATES.items()},
    "std": "the standard deviation of the samples x; where they are complex, sqrt(Var(Re x) + Var(Im x))",
    "magnitude_std": "the standard deviation of |x| over the samples x, saved or not; it is not taken from std",
    "interval": "the lower and the upper end of the central interval of x, for Re x and Im x where it is complex",
    "magnitude_interval": "the lower and the upper end of the central interval of |x|",
    "half_width": "the half-widths of the conformal intervals around mmse, one for each level of the records",
}
"""What each quantity is."""
MAGNITUDES = tuple(f"{name}_magnitude" for name in ESTIMATES)
PICTURES = (*ESTIMATES, *MAGNITUDES)
"""Quantities that a picture can show, where they are real."""


def quantities(result: ImageResult) -> dict[str, Array]:
    """Return the estimates of an image with their spread, samples and intervals, in the units of `units_of`.

    Images and spreads are (C, H, W), samples (S, C, H, W), intervals (2, C, H, W) and half-widths (L, C, H, W).
    Pictures x in [-1, 1] become (x + 1) / 2, and standard deviations and half-widths half of themselves. Complex
    images, and all that belongs to them, are multiplied with the scale of their source, which is a positive number for
    each pixel.

    Raises
    ------
    ValueError
        If the scale has another size than the estimates.
    """
    further = ("samples", "std", "magnitude_std", "interval", "magnitude_interval", "half_width")
    given = {name: array for name in further if (array := getattr(result, name)) is not None}
    found: dict[str, Array] = {**result.estimates, **given}
    if not is_complex(result):
        return {name: array / 2 if name in ("std", "half_width") else (array + 1) / 2 for name, array in found.items()}
    found |= {f"{name}_magnitude": np.abs(found[name]) for name in _ESTIMATES if name in found}
    scale = result.source.scale if result.source else None
    if scale is None:
        return found
    pixels = {array.shape[-2:] for array in (scale, *found.values())}
    if len(pixels) > 1:
        raise ValueError(f"{result.records[0].image_id} and the scale of its source have the sizes {sorted(pixels)}")
    return {name: array * scale for name, array in found.items()}


def is_complex(result: ImageResult) -> bool:
    """Return whether the estimates of a result are complex."""
    return any(map(np.iscomplexobj, result.estimates.values()))


def units_of(result: ImageResult, config: Mapping[str, object]) -> str:
    """Return the units of the quantities of an image, of a run with this config."""
    if not is_complex(result):
        return "0 is black, 1 is white"
    if result.source is not None and result.source.scale is not None:
        return "those of the source: root sum of squares over its coils, by the orthonormal Fourier transform"
    if result.source is None and not _is_of_kspace(config):
        return "those of the dataset"
    verb, cure = ("prepared", "prepare and restore it") if result.source else ("restored", "restore it")
    return (
        "1 is the largest magnitude in the center of the prepared volume, whose scale to its source is not known, since"
        f" an earlier version {verb} it: {cure} again"
    )


def _is_of_kspace(config: Mapping[str, object]) -> bool:
    data = config.get("data")
    test = data.get("test") if isinstance(data, dict) else None
    return isinstance(test, dict) and str(test.get("_target_")).startswith("alps_exp.mri.")
