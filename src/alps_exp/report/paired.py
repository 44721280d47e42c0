"""Paired differences between two samplers on the same images, with their intervals and tests.

The images of a volume are slices of one subject and vary together, so that a volume is one unit: the mean over its
slices. Any other image is a unit of its own. `alps_exp.intervals` says what there is of few units.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from alps_exp.intervals import mean_interval, median_interval, sign_test, t_test


def paired_difference(ours: pd.Series, theirs: pd.Series) -> dict[str, float]:
    """Return ours - theirs over the images that both have, with intervals and p-values.

    Parameters
    ----------
    ours, theirs
        A number for each image, indexed by the image's unit first.

    Returns
    -------
    dict
        ``difference``, the mean over units, ``difference_low`` and ``difference_high``, Student's 95 % interval, and
        ``difference_p``, the two-sided p-value of a zero mean by the paired t-test; ``difference_median``, its
        ``..._low`` and ``..._high``, and ``difference_sign_p`` by the sign test, which holds for every distribution of
        the differences; ``pairs``, the number of units. Without a unit, or enough of them, numbers are NaN.
    """
    values = (ours - theirs).dropna().groupby(level=0).mean().to_numpy()
    mean, median = (values.mean(), np.median(values)) if len(values) else (np.nan, np.nan)
    of_mean, of_median = mean_interval(values), median_interval(values)
    return {
        "difference": mean,
        "difference_low": float(of_mean.low),
        "difference_high": float(of_mean.high),
        "difference_p": t_test(values),
        "difference_median": median,
        "difference_median_low": float(of_median.low),
        "difference_median_high": float(of_median.high),
        "difference_sign_p": sign_test(values),
        "pairs": len(values),
    }
