"""Signs that a posterior sample does not fit its measurement or its prior; no ground truth is needed."""

from __future__ import annotations

import math
from typing import SupportsFloat

MISFIT_SIGMAS, MISFIT_TOLERANCE = 5.0, 0.1
ENERGY_FACTOR = 4.0


def sample_flags(data_misfit: SupportsFloat, measured: int, energy: SupportsFloat | None, size: int) -> list[str]:
    """Return ``misfit`` and ``energy``, if these numbers of a sample are not what a posterior sample has.

    - A posterior sample and the truth are exchangeable given y, so 2 * misfit is a chi-square of as many degrees of
      freedom as real numbers are `measured`: of mean m and standard deviation sqrt(2 m). It is flagged where it is off
      by more than 5 of them, and by more than 10 % (residuals 5 % off, as well as eta is known in practice).
    - E / t^2 of a sample at scale t is half a chi-square of the image's `size` in real numbers for a Gaussian prior.
      Trained energies have no such law: of true images with noise t, at t from 0.03 to 0.3, the shipped ones have 0.95
      to 2.5 times size / 2. So it is flagged below 1/4 of it or above 4 times it: where the noise that is left in the
      sample is off by about a factor of 2.

    Parameters
    ----------
    data_misfit
        ||A x - y||^2 / (2 eta^2).
    measured
        Real numbers in y, see `LinearOperator.measured_count`.
    energy
        E / t^2 at the scale of the sample, or None.
    size
        Real numbers in x.
    """
    flags = []
    tolerance = max(MISFIT_SIGMAS * math.sqrt(2 * measured), MISFIT_TOLERANCE * measured)
    if abs(2 * float(data_misfit) - measured) > tolerance:
        flags.append("misfit")
    if energy is not None and not 1 / ENERGY_FACTOR <= 2 * float(energy) / size <= ENERGY_FACTOR:
        flags.append("energy")
    return flags
