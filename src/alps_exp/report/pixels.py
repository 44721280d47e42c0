"""What is seen of results: what stands for a measurement, and maps of errors and standard deviations."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from alps_exp.pictures import rms, visible
from alps_exp.runs import ImageResult

ERROR, STD = "Absolute error", "Standard deviation"
LARGEST = 0.995
"""Quantile of a map at which its scale ends."""

Maps: TypeAlias = dict[str, np.ndarray]
"""Maps (H, W) by `ERROR` and `STD`."""


def peak_of(result: ImageResult) -> float:
    """Return the magnitude of complex images that is shown as white: that of the truth, or else of an estimate."""
    reference = next(iter(result.estimates.values()), result.adjoint) if result.truth is None else result.truth
    return 1.0 if reference is None else float(np.abs(reference).max()) or 1.0


def measurement_image(result: ImageResult, peak: float) -> tuple[str, np.ndarray] | None:
    """Return the name and the image (C, H, W) of what stands for the measurement; None if nothing can be drawn."""
    measurement, adjoint = result.measurement, result.adjoint
    in_a_row = measurement is not None and measurement.shape[:-1] == (1, 1)  # several measurements as one
    if measurement is not None and not np.iscomplexobj(measurement) and not in_a_row:
        return ("Measurement", measurement) if measurement.ndim == 3 and measurement.size else None
    if adjoint is None:
        return None
    return ("Adjoint", adjoint * (peak / (np.abs(adjoint).max() or 1))) if in_a_row else ("Zero-filled", adjoint)


def visible_measurement(result: ImageResult, peak: float) -> tuple[str, np.ndarray] | None:
    """Return the name and the picture of what stands for the measurement; None if nothing of it can be drawn."""
    found = measurement_image(result, peak)
    return found and (found[0], visible(found[1], peak))


def maps_of(result: ImageResult, estimate: str) -> Maps:
    """Return error and, of an MMSE estimate, standard deviation: root mean squares over the channels."""
    shown = result.estimates[estimate]
    if not np.iscomplexobj(shown):
        shown = shown.clip(-1, 1)
    maps = {} if result.truth is None else {ERROR: rms(shown - result.truth)}
    if estimate == "mmse" and result.std is not None:
        maps[STD] = rms(result.std)
    return maps
