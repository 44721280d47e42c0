"""Flags of implausible estimates, computed without ground truth."""

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
    *,
    saddle: bool = False,
) -> list[str]:
    """Return which of the flags ``misfit``, ``energy``, ``convergence`` and ``saddle`` apply to an estimate.

    ``misfit``. For the ground truth, twice the misfit is chi-square distributed with m degrees of freedom, the number
    of real numbers `measured`: mean m, standard deviation sqrt(2 m). A misfit is out of range if it is off by more
    than 5 standard deviations and by more than 10 % (residuals off by 5 %, about as well as eta is known in practice).

    - sample: exchangeable with the truth given y, so it follows the same distribution. Flagged on both sides.
    - mmse: the misfit is convex, so by Jensen's inequality the misfit of the mean is at most the mean misfit of the
      samples. Flagged above only. It is lower by exactly the variance of the samples in measurement space, 1/S sum_s
      ||A (x_s - mean)||^2 / (2 eta^2); any value between 0 and m is legitimate.
    - map: minimizes U = E / t^2 + misfit, so its misfit exceeds that of the truth by at most the difference of their E
      / t^2. Under a Gaussian prior MAP is the posterior mean, and does not exceed it on average. Flagged above, where
      the minimization failed or the prior overrules the data. Below, it also fits noise, which is legitimate.
    - point: follows no such distribution, but must not exceed it if it is to equal the truth up to the noise
      (Morozov's discrepancy principle). Flagged above, as happens for A^H y of undersampled coils or of a blur, but
      never for A^H y of a pixel mask.

    ``energy``. For a Gaussian prior, E / t^2 of a sample at scale t is half a chi-square variable with `size` degrees
    of freedom. Trained energies follow no such law: for true images with noise t between 0.03 and 0.3, the shipped
    energies have 0.95 to 2.5 times size / 2. A sample is therefore flagged below 1/4 or above 4 times this value, that
    is, if its residual noise is off by about a factor of 2. A MAP estimate contains no noise, so its energy may be
    arbitrarily low; it is flagged above only. The mean over several modes may have any energy, and point estimates do
    not come from this prior: neither is flagged.

    ``convergence``. The sampler reports that it stopped before reaching its tolerance, or that too few of its chains
    survived: its diagnostic ``converged`` is 0 for this sample, or for any sample that enters the estimate.

    ``saddle``. The sampler minimizes, and found a point where the gradient vanishes and a curvature is negative: its
    diagnostic ``saddle`` is 1.

    Parameters
    ----------
    estimate
        ``sample``, ``mmse``, ``map`` or ``point``.
    data_misfit
        ||A x - y||^2 / (2 eta^2).
    measured
        Number of measured real numbers in y, see `LinearOperator.measured_count`.
    energy
        E / t^2 at the last scale of the sampler, or None.
    size
        Number of real numbers in x.
    converged
        Whether the sampler reports convergence.
    saddle
        Whether the sampler reports a saddle point.

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
        "saddle": saddle,
    }
    return [name for name, holds in flags.items() if holds]
