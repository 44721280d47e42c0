"""The noise of the receive coils: from a noise scan, the edge of k-space, the background of the images, or as given.

Complex noise n of the coils has covariance ``E[n n^H] = 2 C``, with C the covariance of its real and of its imaginary
part. Where there is no noise scan, two regions hold little but noise: the edge of k-space, where a small matrix still
has signal, and the background of the images, where there is none if the object fills the field of view. Signal only
adds to the energy, so the quieter of the two is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alps_exp.mri.fourier import Array, to_image
from alps_exp.mri.kspace import KSpaceError

EDGE = 0.05  # share of the measured samples that counts as the edge of k-space
BLOCKS = 32  # blocks along an axis of the image at most, of at least SMALLEST pixels
SMALLEST = 8
ENOUGH = 4  # noise samples for each coil at least
INDEPENDENT = 0.25  # of the pixels of an image under a Hann window along both axes
QUIET = 4.0  # standard deviations by which the next louder block may exceed the mean of the quieter ones
SOURCES = ("auto", "edge", "background")
"""What `noise` may be besides a number or the name of a noise scan."""


@dataclass(frozen=True)
class Noise:
    """The noise of a volume.

    Attributes
    ----------
    covariance : Array
        C, (coils, coils) complex128.
    source : str
        ``edge``, ``background``, ``given``, or the name of the noise scan.
    levels : dict of str to float
        Root mean square over the coils of the standard deviation in real and imaginary part each, by source.
    """

    covariance: Array
    source: str
    levels: Mapping[str, float]

    @property
    def level(self) -> float:
        """The standard deviation of this noise, root mean square over the coils."""
        return rms_level(self.covariance)

    def __str__(self) -> str:
        others = [f"{name} {level:.4g}" for name, level in self.levels.items() if name != self.source]
        return f"noise {self.level:.4g} by {self.source}" + (f" ({', '.join(others)})" if others else "")


def rms_level(covariance: Array) -> float:
    """Return the root mean square over the coils of the standard deviation."""
    return float(np.sqrt(np.diag(covariance).real.mean()))


def given_noise(level: float, coils: int) -> Noise:
    """Return uncorrelated noise of one standard deviation in every coil.

    Raises
    ------
    KSpaceError
        If it is not positive.
    """
    if not level > 0:
        raise KSpaceError(f"noise is {level}, expected a standard deviation above 0")
    return Noise(level**2 * np.eye(coils, dtype=np.complex128), "given", {"given": level})


def scanned_noise(samples: Array, name: str, alive: Array) -> Noise:
    """Return the noise of a noise scan (coils, n), of the coils that are alive (coils,) bool.

    Raises
    ------
    KSpaceError
        If it is not such a scan of these coils.
    """
    coils, samples = len(alive), np.asarray(samples)
    if samples.ndim != 2 or len(samples) != coils or samples.dtype.kind != "c" or not np.isfinite(samples).all():
        got = f"{samples.dtype} of the shape {samples.shape}"
        raise KSpaceError(f"the noise scan {name} holds {got}, expected finite complex numbers ({coils}, n)")
    covariance = noise_covariance(samples[alive])
    return Noise(covariance, name, {name: rms_level(covariance)})


def estimated_noise(kspace: Sequence[Array], measured: Sequence[Array], source: str) -> Noise:
    """Return the noise of a volume without a noise scan.

    Parameters
    ----------
    kspace
        For each slice (coils, H, W) as stored, 0 where nothing is measured.
    measured
        For each slice (H, W) bool.
    source
        ``edge``, ``background``, or ``auto`` for the quieter of the two.

    Raises
    ------
    KSpaceError
        If there are too few samples, or a coil has no noise.
    """
    edges = np.concatenate([edge_samples(one, where) for one, where in zip(kspace, measured, strict=True)], axis=1)
    found: dict[str, Array] = {}
    background = background_covariance(kspace, measured)
    if background is not None:
        found["background"] = background
    if source == "edge" or background is None or edges.shape[1] >= ENOUGH * len(edges):
        found["edge"] = noise_covariance(edges)
    if source != "auto" and source not in found:
        raise KSpaceError("k-space is measured at scattered points, so its images have no background: take noise=edge")
    levels = {name: rms_level(covariance) for name, covariance in found.items()}
    chosen = min(levels, key=levels.__getitem__) if source == "auto" else source
    return Noise(found[chosen], chosen, levels)


def edge_samples(kspace: Array, measured: Array) -> Array:
    """Return the samples (coils, n) of the outermost 5 % of the measured k-space (coils, H, W) of a slice.

    On a fully sampled brain at 1 mm, their standard deviation was 2 % above the noise level. The rest is signal.
    """
    rows, columns = ((np.arange(n) - n // 2) / (n / 2) for n in measured.shape)
    radius = np.hypot(rows[:, None], columns)
    edge = measured & (radius >= np.quantile(radius[measured], 1 - EDGE))
    samples: Array = kspace[:, edge]
    return samples


def background_covariance(kspace: Sequence[Array], measured: Sequence[Array]) -> Array | None:
    """Return C of the background of the images; None if all slices are measured at scattered points.

    The images are those of the measured rectangle of k-space, without the zeros around it. Where only some lines are
    measured, k-space is transformed along them alone: outside the object, nothing but noise is left of each line. The
    images are divided into blocks. Starting with the quietest, blocks belong to the background as long as the next one
    is not louder than chance allows.
    """
    sums: Array | None = None
    counts: Array | None = None
    for one, where in zip(kspace, measured, strict=True):
        if (pixels := _pixels(one, where)) is None:
            continue
        of_slice, sizes = _block_sums(pixels)
        if sums is None or counts is None:
            sums, counts = of_slice, sizes
        elif sums.shape == of_slice.shape:  # a slice of another mask does not add up with the others
            sums, counts = sums + of_slice, counts + sizes
    return None if sums is None or counts is None else _quietest(sums, counts)


def noise_covariance(samples: Array) -> Array:
    """Return C (coils, coils) complex128 of noise samples (coils, n).

    Raises
    ------
    KSpaceError
        If there are too few samples, or a coil has no noise.
    """
    coils, count = samples.shape
    if count < ENOUGH * coils:
        raise KSpaceError(f"{count} noise samples are too few for {coils} coils, expected at least {ENOUGH * coils}")
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


def _pixels(kspace: Array, measured: Array) -> Array | None:
    """Return images of the measured rectangle, or k-space transformed along measured lines; None for other masks."""
    rows, columns = measured.any(1), measured.any(0)
    if not (measured == np.outer(rows, columns)).all():
        return None
    pixels: Array = kspace[:, rows][:, :, columns]
    axes = [axis for axis, found in ((-2, rows), (-1, columns)) if np.diff(np.flatnonzero(found)).max(initial=1) == 1]
    if not axes:
        return None
    for axis in axes:
        pixels = to_image(pixels * _window(pixels.shape[axis], axis), axes=(axis,))
    if len(axes) == 2:
        return pixels
    return pixels[..., None] if axes == [-2] else pixels.swapaxes(-1, -2)[..., None]


def _window(length: int, axis: int) -> Array:
    """Return a Hann window along an axis, which keeps the noise level but not the ringing of cut k-space."""
    window: Array = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2
    window /= np.sqrt(np.mean(window**2))
    return window.reshape((-1, 1) if axis == -2 else (-1,)).astype(np.float32)


def _block_sums(pixels: Array) -> tuple[Array, Array]:
    """Return the sums of z z^H over blocks, (blocks, coils, coils), and their numbers of samples (blocks,).

    `pixels` are (coils, H, W), or (coils, H, lines, 1) with blocks along H alone.
    """
    lines = pixels.ndim == 4
    height, width = pixels.shape[1], 1 if lines else pixels.shape[2]
    sums, counts = [], []
    for rows in _parts(height, 2 if lines else SMALLEST):
        for columns in [slice(None)] if lines else _parts(width, SMALLEST):
            z = pixels[:, rows, columns].reshape(len(pixels), -1).astype(np.complex128)
            sums.append(z @ z.conj().T)
            counts.append(z.shape[1])
    return np.stack(sums), np.array(counts)


def _parts(length: int, smallest: int) -> list[slice]:
    count = max(1, min(BLOCKS, length // smallest))
    ends = np.linspace(0, length, count + 1).round().astype(int)
    return [slice(start, end) for start, end in zip(ends, ends[1:], strict=False)]


def _quietest(sums: Array, counts: Array) -> Array:
    """Return C of the blocks that are as quiet as the quietest ones."""
    energy = np.diagonal(sums, axis1=1, axis2=2).real / counts[:, None]
    if not (energy.min(0) > 0).all():
        raise KSpaceError("a coil has no noise at all in the background of its images")
    relative = (energy / np.quantile(energy, 0.1, axis=0)).mean(1)  # each coil counts alike, whatever its gain
    order = np.argsort(relative)
    scatter = 1 / np.sqrt(INDEPENDENT * counts[order] * sums.shape[1])
    running = np.cumsum(relative[order] * counts[order]) / np.cumsum(counts[order])
    louder = relative[order][1:] > running[:-1] * (1 + QUIET * scatter[1:])
    end = 1 + (int(louder.argmax()) if louder.any() else len(louder))
    covariance: Array = sums[order[:end]].sum(0) / (2 * counts[order[:end]].sum())
    return covariance
