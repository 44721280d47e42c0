"""Spread / error over images: pooled, image by image, and without the noise of the last step; with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from alps_exp.intervals import rms_ratio_interval

RATIOS = ("spread_error", "spread_error_noiseless", "spread_error_per_image")
COLUMNS = [column for name in RATIOS for column in (name, f"{name}_low", f"{name}_high")]


def spread_numbers(records: pd.DataFrame) -> dict[str, float]:
    """Return the ratios of spread and error of records, with the ends of their 95 % intervals over units.

    Parameters
    ----------
    records
        Records with ``spread``, ``error``, the same ``..._noiseless``, and ``unit``, the volume of a slice or the
        image.

    Returns
    -------
    dict
        ``spread_error``, the root of the summed squares of spread over that of error, to which wide posteriors add
        most; ``spread_error_noiseless``, the same without the noise of the last step; ``spread_error_per_image``, one
        over the root mean square of error / spread, to which all images add alike; and each ``..._low`` and
        ``..._high``, see `alps_exp.intervals`. Without spread or error they are NaN.
    """
    both = records.dropna(subset=["spread", "error"])
    noiseless = records.dropna(subset=["spread_noiseless", "error_noiseless"])
    with np.errstate(divide="ignore"):
        relative = both.assign(relative=both["error"] / both["spread"], one=1.0)
    return {
        **_ratio("spread_error", both, "spread", "error"),
        **_ratio("spread_error_noiseless", noiseless, "spread_noiseless", "error_noiseless"),
        **_ratio("spread_error_per_image", relative, "one", "relative"),
    }


def _ratio(name: str, records: pd.DataFrame, above: str, below: str) -> dict[str, float]:
    if records.empty:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    squares = records[[above, below]].pow(2)
    of_units = squares.groupby(records["unit"]).sum().pow(0.5)
    interval = rms_ratio_interval(of_units[above].to_numpy(), of_units[below].to_numpy())
    sums = squares.sum()
    return {
        name: (sums[above] / sums[below]) ** 0.5,
        f"{name}_low": float(interval.low),
        f"{name}_high": float(interval.high),
    }
