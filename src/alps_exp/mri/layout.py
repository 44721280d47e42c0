"""Where zero frequency and the object lie: k-space that others stored is moved to this package's layout, or refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alps_exp.crops import around_zero_frequency
from alps_exp.mri.fourier import Array, to_image
from alps_exp.mri.kspace import KSpaceError

NEAR = 1 / 8  # of an axis: how far the largest sample may lie from where zero frequency should be
CENTER = 32  # samples of the low-resolution image in which the object is looked for
SUPPORT = 0.1  # of the mean energy of rows or columns: below it, there is no object
CONCENTRATED = 0.1  # first harmonic of the support over its mean: below it, the object is everywhere
OPPOSITE = 3 / 4  # of half a field of view: beyond it, the object lies across the border
AXES = {"rows": -2, "columns": -1}


def centered(kspace: Sequence[Array]) -> tuple[list[Array], list[str]]:
    """Return k-space with zero frequency at H // 2, W // 2 and the object in the middle, and what was moved.

    Zero frequency has by far the largest sample. Where that lies in a corner, the halves of k-space are exchanged;
    where it lies elsewhere, nothing is certain. An object that lies across the border of the images was shifted by half
    a field of view, as alternating signs of the samples do; they are taken back.

    Parameters
    ----------
    kspace
        For each slice (coils, H, W), 0 where nothing is measured.

    Raises
    ------
    KSpaceError
        If the largest sample lies neither near the center nor near the border of an axis.
    """
    slices, remarks = list(kspace), []
    energy = np.sum([(np.abs(one) ** 2).sum(0) for one in slices], axis=0)
    peak = np.unravel_index(int(energy.argmax()), energy.shape)
    for (name, axis), place in zip(AXES.items(), peak, strict=True):
        size = energy.shape[axis]
        if abs(place - size // 2) <= NEAR * size:
            continue
        if min(place, size - place) > NEAR * size:
            raise KSpaceError(
                f"the largest sample of k-space is number {place} of {size} {name}, expected zero frequency at"
                f" {size // 2}: pad k-space, or name its axes with reader=arrays"
            )
        slices = [np.fft.fftshift(one, axis) for one in slices]
        remarks.append(f"zero frequency moved to the center of the {name}")
    for name, axis in AXES.items():
        if _lies_across_the_border(slices, axis):
            size = slices[0].shape[axis]
            signs = (1 - 2 * ((np.arange(size) - size // 2) % 2)).astype(np.float32)
            slices = [one * (signs[:, None] if axis == -2 else signs) for one in slices]
            remarks.append(f"the object moved by half a field of view along the {name}")
    return slices, remarks


def _lies_across_the_border(slices: Sequence[Array], axis: int) -> bool:
    """Return whether the object lies across the border of the images along an axis."""
    other = AXES["columns"] if axis == AXES["rows"] else AXES["rows"]
    profile = np.zeros(min(CENTER, slices[0].shape[axis]))
    for one in slices:
        sizes = {a: min(CENTER, one.shape[a]) for a in AXES.values()}
        low = one[:, around_zero_frequency(one.shape[-2], sizes[-2]), around_zero_frequency(one.shape[-1], sizes[-1])]
        profile += (np.abs(to_image(low)) ** 2).sum((0, other))
    place = (np.arange(len(profile)) - len(profile) // 2) / len(profile)
    # The support decides, not the energy: something bright at the border does not make an object lie there.
    support = profile > SUPPORT * profile.mean()
    harmonic = (support * np.exp(2j * np.pi * place)).sum() / support.sum()
    return bool(abs(harmonic) > CONCENTRATED and abs(np.angle(harmonic)) > OPPOSITE * np.pi)
