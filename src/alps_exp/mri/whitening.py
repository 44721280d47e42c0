"""Noise of the receive coils: its covariance from a noise scan or the edge of k-space, and prewhitening.

Complex noise n of the coils has covariance ``E[n n^H] = 2 C``, with C the covariance of its real and of its imaginary
part.
"""

from __future__ import annotations

import numpy as np

from alps_exp.mri.fourier import Array
from alps_exp.mri.kspace import KSpaceError

EDGE = 0.05


def edge_samples(kspace: Array, measured: Array) -> Array:
    """Return the samples (coils, n) of the outermost 5 % of the measured k-space, which are mostly noise.

    On a fully sampled brain at 1 mm, their standard deviation was 2 % above the noise level. The rest is signal.

    Parameters
    ----------
    kspace
        (slices, coils, H, W).
    measured
        (H, W) bool.
    """
    rows, columns = ((np.arange(n) - n // 2) / (n / 2) for n in measured.shape)
    radius = np.hypot(rows[:, None], columns)
    edge = measured & (radius >= np.quantile(radius[measured], 1 - EDGE))
    return np.moveaxis(kspace[..., edge], 1, 0).reshape(kspace.shape[1], -1)


def noise_covariance(samples: Array) -> Array:
    """Return C (coils, coils) complex128 of noise samples (coils, n).

    Raises
    ------
    KSpaceError
        If there are too few samples, or a coil has no noise.
    """
    coils, count = samples.shape
    if count < 4 * coils:
        raise KSpaceError(f"{count} noise samples are too few for {coils} coils, expected at least {4 * coils}")
    samples = samples.astype(np.complex128)
    covariance: Array = samples @ samples.conj().T / (2 * count)
    if not (np.diag(covariance).real > 0).all():
        raise KSpaceError("a coil has no noise at all in its noise samples")
    return covariance


def whitening_matrix(covariance: Array) -> Array:
    """Return W (coils, coils) complex128 with ``W C W^H = I``, the inverse Cholesky factor of C.

    Raises
    ------
    KSpaceError
        If the noise of the coils is linearly dependent.
    """
    try:
        return np.linalg.inv(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError as error:
        raise KSpaceError("the noise of the coils is linearly dependent, so it cannot be whitened") from error
