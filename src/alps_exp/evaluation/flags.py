"""Signs that an estimate is not what it is called; no ground truth is needed."""

from __future__ import annotations

import math
from typing import SupportsFloat

MISFIT_SIGMAS, MISFIT_TOLERANCE = 5.0, 0.1
ENERGY_FACTOR = 4.0


def estimate_flags(
    estimate: str,
    data_misfit: SupportsFloat,
    measured: int,
    energy: SupportsFloat | None,
    size: int,
    converged: bool = True,
) -> list[str]:
    """Return those of ``misfit``, ``energy`` and ``convergence`` that tell against an estimate.

    ``misfit``. Of the truth, 2 * misfit is a chi-square of as many degrees of freedom as real numbers are `measured`:
    of mean m and standard deviation sqrt(2 m). Off is what is off by more than 5 of them, and by more than 10 %
    (residuals 5 % off, as well as eta is known in practice).

    - sample: it and the truth are exchangeable given y, so the law is its own. Flagged on either side.
    - mmse: the misfit is convex, so that of a mean is at most the mean of the samples' (Jensen): flagged above. It
      is below that mean by exactly the samples' variance in the data, 1/S sum_s ||A (x_s - mean)||^2 / (2 eta^2), so
      its lower side says nothing that the samples' own misfits do not: between 0 and m all is right.
    - map: U = E / t^2 + misfit is least there, so its misfit exceeds that of the truth by no more than the truth's
      E / t^2 exceeds its own; under a Gaussian prior MAP is the posterior mean, and does not on average. Flagged above,
      where the descent has failed or the prior overrules the data; below, it fits noise too, as it may.
    - point: made without this law, but not above it if it is to be the truth up to the noise (Morozov's discrepancy
      principle). Flagged above: A^H y of undersampled coils or of a blur is; that of a mask of pixels misfits nothing.

    ``energy``. E / t^2 of a sample at scale t is half a chi-square of the image's `size` in real numbers for a Gaussian
    prior. Trained energies have no such law: of true images with noise t, at t from 0.03 to 0.3, the shipped ones have
    0.95 to 2.5 times size / 2. So a sample is flagged below 1/4 of it or above 4 times it: where the noise that is
    left in it is off by about a factor of 2. MAP has no such noise, and its energy may be as low as it likes: flagged
    above. A mean over several modes may lie where E is of any size, and point estimates are not of this prior: neither
    is flagged.

    ``convergence``. The sampler itself says that it stopped before its tolerance was met: a diagnostic ``converged`` is
    0 of this sample, or of any that the estimate is made of. A sampler of a fixed number of steps says nothing.

    Parameters
    ----------
    estimate
        ``sample``, ``mmse``, ``map`` or ``point``.
    data_misfit
        ||A x - y||^2 / (2 eta^2).
    measured
        Real numbers in y, see `LinearOperator.measured_count`.
    energy
        E / t^2 at the last scale of the sampler, or None.
    size
        Real numbers in x.
    converged
        What the sampler says.

    References
    ----------
    Morozov, "On the solution of functional equations by the method of regularization", Soviet Math. Dokl. 7, 1966.
    """
    drawn = estimate == "sample"
    excess = 2 * float(data_misfit) - measured
    tolerance = max(MISFIT_SIGMAS * math.sqrt(2 * measured), MISFIT_TOLERANCE * measured)
    share = 1.0 if energy is None else 2 * float(energy) / size
    flags = {
        "misfit": excess > tolerance or (drawn and excess < -tolerance),
        "energy": (share > ENERGY_FACTOR and (drawn or estimate == "map")) or (drawn and share < 1 / ENERGY_FACTOR),
        "convergence": not converged,
    }
    return [name for name, holds in flags.items() if holds]
