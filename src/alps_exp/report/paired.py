"""Paired differences between two samplers on the same images, with bootstrap intervals over images."""

from __future__ import annotations

import numpy as np
import pandas as pd

LEVEL, RESAMPLES, SEED = 0.95, 2000, 0


def paired_difference(ours: pd.Series, theirs: pd.Series) -> dict[str, float]:
    """Return mean and 95 % interval of ours - theirs over the images that both have, in the series' index.

    The interval is the percentile bootstrap over images with a fixed seed, the same for every pair of samplers.

    Returns
    -------
    dict
        ``difference``, ``difference_low``, ``difference_high`` (NaN for fewer than two images) and ``pairs``.

    References
    ----------
    Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3.
    """
    differences = (ours - theirs).dropna().sort_index().to_numpy()
    count = len(differences)
    low = high = np.nan
    if count > 1:
        generator = np.random.default_rng(SEED)
        means = [differences[generator.integers(count, size=count)].mean() for _ in range(RESAMPLES)]
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = differences.mean() if count else np.nan
    return {"difference": mean, "difference_low": low, "difference_high": high, "pairs": count}
