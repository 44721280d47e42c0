"""Paired differences between two samplers on the same images, with Student's interval and test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy

LEVEL = 0.95


def paired_difference(ours: pd.Series, theirs: pd.Series) -> dict[str, float]:
    """Return mean and 95 % interval of ours - theirs over the images that both have, in the series' index.

    The interval is Student's, by SciPy's paired t-test: for normal differences it is exact with any number of images.

    Returns
    -------
    dict
        ``difference``; ``difference_low``, ``difference_high`` and ``difference_p``, the two-sided p-value of equal
        means (NaN for fewer than two images); ``pairs``.

    References
    ----------
    Student, "The probable error of a mean", Biometrika 6, 1908.
    """
    differences = (ours - theirs).dropna().to_numpy()
    count = len(differences)
    mean, low, high, p = differences.mean() if count else np.nan, np.nan, np.nan, np.nan
    if count > 1:
        test = scipy.stats.ttest_1samp(differences, 0.0)
        (low, high), p = test.confidence_interval(LEVEL), test.pvalue
    return {"difference": mean, "difference_low": low, "difference_high": high, "difference_p": p, "pairs": count}
