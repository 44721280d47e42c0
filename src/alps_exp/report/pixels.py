"""What is seen of results: what stands for a measurement, and maps of errors and standard deviations."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from alps_exp.pictures import rms, visible
from alps_exp.runs import ImageResult, Record

ERROR, STD, HALF_WIDTH = "Absolute error", "Standard deviation", "Half-width"
LARGEST = 0.995
"""Quantile of a map at which its scale ends."""

LEVEL = 0.9
"""Level of the conformal bounds that are shown."""

Maps: TypeAlias = dict[str, np.ndarray]
"""Maps (H, W) by `ERROR`, `STD` and `HALF_WIDTH`."""


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
    """Return error and, of an MMSE estimate, standard deviation and half-width: root mean squares over the channels."""
    shown = result.estimates[estimate]
    if not np.iscomplexobj(shown):
        shown = shown.clip(-1, 1)
    maps = {} if result.truth is None else {ERROR: rms(shown - result.truth)}
    if estimate == "mmse" and result.std is not None:
        maps[STD] = rms(result.std)
    if estimate == "mmse" and (widths := _half_width(result)) is not None:
        maps[HALF_WIDTH] = rms(widths)
    return maps


def _half_width(result: ImageResult) -> np.ndarray | None:
    """Return the half-widths (C, H, W) of the conformal intervals at `LEVEL`, if there are finite ones."""
    bounds = result.record("mmse").conformal
    if result.half_width is None or bounds is None or LEVEL not in bounds["levels"]:
        return None
    widths: np.ndarray = result.half_width[bounds["levels"].index(LEVEL)]
    return widths if np.isfinite(widths).all() else None


def psnr_bound(record: Record) -> float | None:
    """Return the conformal bound of the PSNR of an estimate at `LEVEL`, in dB, if there is one."""
    bounds = record.conformal
    return None if bounds is None or LEVEL not in bounds["levels"] else bounds["psnr"][bounds["levels"].index(LEVEL)]
