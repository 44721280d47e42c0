"""Preparation of raw k-space: noise, sensitivity maps and coil-combined images, in parallel and resumable."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alps_exp.checks import MOST_PROCESSES, check_count
from alps_exp.content_hashes import content_hashes
from alps_exp.crops import center_crop
from alps_exp.errors import SettingError, one_line
from alps_exp.files import file_name, files_below, write_atomically
from alps_exp.mri.coil_images import combine, source_scale
from alps_exp.mri.fourier import Array, to_image
from alps_exp.mri.kspace import KSpaceError, KSpaceVolume
from alps_exp.mri.layout import centered
from alps_exp.mri.noise import SOURCES, Noise, estimated_noise, given_noise, scanned_noise, whitening_matrix
from alps_exp.mri.prepared_volume import PreparedVolume, PreparedVolumeFile, write_prepared_volume
from alps_exp.mri.rss_target import RSSTarget, rss_target
from alps_exp.mri.sensitivity import MapEstimator, calibration_region, calibration_width
from alps_exp.mri.truth import TruthCheck, check_truth
from alps_exp.orphans import end_with_parent

SUFFIXES = (".h5", ".hdf5", ".npy", ".mat")
INDEX = "index.jsonl"
VOLUMES = "volumes"
PLAIN_ERRORS = (OSError, ValueError)  # their messages are written for users
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class PreparationSettings:
    """How a volume is prepared.

    Attributes
    ----------
    reader : callable
        Opens a file as a `KSpaceVolume`.
    maps : MapEstimator
        Estimates the sensitivity maps of a slice.
    noise : str or float
        ``edge`` of k-space, ``background`` of the images, ``auto`` for the quieter of the two, the name of a noise scan
        (coils, samples) in every file, acquired with the bandwidth of the k-space, or the standard deviation of real
        and imaginary part each, in the units of the file.
    whiten : bool
        Whether to make the noise of the coils uncorrelated with equal variance. Otherwise the coils are kept, and
        `noise_std` is the root mean square over them.
    config : dict
        These settings as plain values, which are written to every prepared file.
    """

    reader: Callable[[Path], KSpaceVolume]
    maps: MapEstimator
    noise: str | float
    whiten: bool
    config: dict[str, object]


@dataclass
class Report:
    """Outcome of a preparation: slices and bytes prepared, volumes that were done before, and failures."""

    slices: int = 0
    volumes: int = 0
    stored_bytes: int = 0
    seconds: float = 0.0
    done_before: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        return (
            f"{self.volumes} volumes ({self.slices} slices) prepared in {self.seconds:.1f} s: "
            f"{self.slices / seconds:.2f} slices/s, {self.stored_bytes / 1e6 / seconds:.1f} MB/s; "
            f"{self.done_before} done before, {len(self.failed)} failed"
        )


@dataclass(frozen=True)
class Outcome:
    """What is to be said of a prepared file: its slices, the bytes of its stored k-space, and remarks."""

    slices: int
    stored_bytes: int
    remarks: list[str]


def find_volumes(source: Path) -> dict[str, Path]:
    """Return the k-space files of a folder, or a single file, by name and sorted.

    Folders are searched recursively, and links are followed. A name is the path within the folder without its suffix,
    with folders joined by ``-``.

    Raises
    ------
    FileNotFoundError
        If `source` does not exist.
    ValueError
        If it contains no k-space file, or two files have the same name.
    """
    if not source.exists():
        raise FileNotFoundError(f"no such folder or file of k-space: {source}")
    found = [source] if source.is_file() else files_below(source)
    root = source.parent if source.is_file() else source
    files = sorted(path for path in found if path.suffix in SUFFIXES and not path.name.startswith("."))
    if not files:
        raise ValueError(f"no k-space file ({', '.join(SUFFIXES)}) in {source}")
    names = ["-".join(path.relative_to(root).with_suffix("").parts) for path in files]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two k-space files in {source} have the name {twice!r}, expected one of its own for each")
    return dict(sorted(zip(names, files, strict=True)))


def open_volumes(files: dict[str, Path], reader: Callable[[Path], KSpaceVolume]) -> tuple[list[str], dict[str, str]]:
    """Open every file once; return the names of readable files, and the reasons for the others by name.

    Raises
    ------
    SettingError
        If a setting of the reader is wrong.
    """
    refused = {}
    for name, path in files.items():
        try:
            reader(path)
        except SettingError:
            raise
        except Exception as error:  # whatever a damaged file raises costs that file alone
            refused[name] = reason(error)
    return [name for name in files if name not in refused], refused


def prepare_volumes(
    files: dict[str, Path],
    output: Path,
    settings: PreparationSettings,
    num_workers: int,
    progress: Callable[[str], None],
    verify: bool = False,
) -> Report:
    """Prepare the volumes that have no whole file yet, and write the index of all that have one, if any has.

    Parameters
    ----------
    files
        As `find_volumes` returns them.
    output
        Folder of the index and, in ``volumes``, the prepared files.
    settings
        How.
    num_workers
        Processes, each on one thread: the prepared files do not depend on their number.
    progress
        Is told of every volume.
    verify
        Whether prepared files are read to see that they are whole.

    Raises
    ------
    ValueError
        If prepared files of other settings are in the way, or num_workers is below 1.
    """
    check_count("num_workers", num_workers, MOST_PROCESSES)
    paths = {name: output / VOLUMES / file_name(name, ".h5") for name in files}
    done = [name for name in files if _is_done(files[name], paths[name], settings.config, verify)]
    todo = [name for name in files if name not in done]
    report, start = Report(done_before=len(done)), time.perf_counter()
    for leftover in (output / VOLUMES).glob(".*.tmp"):
        leftover.unlink()
    with _workers(min(num_workers, max(len(todo), 1))) as pool:
        futures: dict[Future[Outcome | str], str] = {
            pool.submit(_try_file, files[name], paths[name], settings): name for name in todo
        }
        for future in as_completed(futures):
            name = futures[future]
            try:
                result = future.result()
            except BrokenProcessPool as error:
                result = reason(error)
            if isinstance(result, str):
                report.failed[name] = result
                progress(f"{name}: {result}")
                continue
            report.volumes += 1
            report.slices += result.slices
            report.stored_bytes += result.stored_bytes
            progress("; ".join([f"{name}: {result.slices} slices", *result.remarks]))
    report.seconds = time.perf_counter() - start
    if good := [name for name in files if name not in report.failed]:
        _write_index(output, files, {name: paths[name] for name in good})
    return report


def _try_file(source: Path, volume_file: Path, settings: PreparationSettings) -> Outcome | str:
    """Call `prepare_file`, and return the reason if it fails: not every exception can be pickled between processes."""
    try:
        return prepare_file(source, volume_file, settings)
    except Exception as error:  # whatever a damaged file raises costs that file alone
        return reason(error)


def prepare_file(source: Path, volume_file: Path, settings: PreparationSettings) -> Outcome:
    """Prepare one file, write its prepared file, and return what is to be said of it."""
    source_sha256 = _hash(source)  # first, so that a file that is replaced meanwhile counts as changed
    volume = settings.reader(source)
    prepared = prepare(volume, settings)
    write_prepared_volume(volume_file, prepared, settings.config, source_sha256)
    stored_bytes = int(np.prod(volume.shape)) * np.dtype(np.complex64).itemsize
    return Outcome(len(prepared.slices), stored_bytes, prepared.remarks)


def prepare(volume: KSpaceVolume, settings: PreparationSettings) -> PreparedVolume:
    """Return the prepared volume.

    Slices without any sample, and coils without any, are left out. The scale is the largest magnitude of the
    coil-combined images in the central region where reconstructions are compared. If no slice is fully sampled, the
    images of the calibration region are used, so that the scale does not depend on the acceleration. They are blurred:
    on a brain with 24 x 24 samples, this scale was 0.69 of the true one.

    Raises
    ------
    KSpaceError
        If k-space is not finite or empty, the readout cannot be cropped, or noise or maps cannot be estimated.
    """
    stored = _read(volume)
    noise = _noise(volume, stored, settings.noise)
    whitening = _whitening(noise, settings.whiten).astype(np.complex64)
    # Maps are estimated after whitening: they must belong to the same (virtual) coils as the k-space.
    kspace = [np.einsum("ij,jhw->ihw", whitening, volume.crop(one)) for one in stored.kspace]
    masks = [where[: volume.image_shape[0]] for where in stored.measured]
    maps, said = settings.maps.of_volume(kspace, masks)
    recon_shape = _recon_shape(volume, maps[0])
    full = [is_fully_sampled(where) for where in masks]
    images = [combine(to_image(one), of_slice) for one, of_slice in zip(kspace, maps, strict=True)]
    shown = [image for image, whole in zip(images, full, strict=True) if whole]
    if not shown:
        widths = [calibration_width(where, settings.maps.calibration_width) for where in masks]
        centers = [calibration_region(one, width) for one, width in zip(kspace, widths, strict=True)]
        shown = [combine(to_image(one), of_slice) for one, of_slice in zip(centers, maps, strict=True)]
    scale = max(float(np.abs(center_crop(image, recon_shape)).max()) for image in shown)
    if not scale > 0:
        raise KSpaceError("the maps leave no image: they are zero where the object is")
    checks = [
        check_truth(one, of_slice, image[0], where) if whole else None
        for one, of_slice, image, where, whole in zip(kspace, maps, images, masks, full, strict=True)
    ]
    target, of_target = _target(volume, stored, maps, whitening, scale)
    scales = [scale * source_scale(one, whitening.astype(np.complex128)) for one in maps]
    truths = [image if whole else np.zeros_like(image) for image, whole in zip(images, full, strict=True)]
    return PreparedVolume(
        kspace=np.stack(kspace) / np.float32(scale),
        sensitivity_maps=np.stack(maps),
        image=np.stack(truths) / np.float32(scale) if any(full) else None,
        target=target.images if target else None,
        target_weight=target.weights if target else None,
        source_scale=np.concatenate(scales).astype(np.float32),
        checks=checks,
        has_image=full,
        mask=np.stack(masks),
        scale=scale,
        noise_std=1 / scale,
        recon_shape=recon_shape,
        voxel_size=volume.voxel_size,
        slices=stored.numbers,
        hashes=stored.hashes,
        remarks=[str(noise), *stored.remarks, *said, *of_target, *_unsound(stored.numbers, checks)],
    )


def _target(
    volume: KSpaceVolume, stored: _Stored, maps: Sequence[Array], whitening: Array, scale: float
) -> tuple[RSSTarget | None, list[str]]:
    """Return the target that a volume brings, as far as it is of its images, and what is to be said of it."""
    if (target := volume.target) is None:
        return None, []
    full = map(is_fully_sampled, stored.measured)
    known = [volume.crop(one) * whole for one, whole in zip(stored.kspace, full, strict=True)]
    of_slices = target[stored.numbers] if target.ndim and len(target) == volume.shape[0] else target
    return rss_target(of_slices, maps, whitening, scale, known)


def _recon_shape(volume: KSpaceVolume, maps: Array) -> tuple[int, int]:
    """Return the center in which images are compared: all of an axis along which they exceed the field of view."""
    axes = zip(maps.shape[-2:], volume.image_shape, volume.recon_shape, strict=True)
    rows, columns = (size if size > fov else compared for size, fov, compared in axes)
    return rows, columns


def _unsound(numbers: Sequence[int], checks: Sequence[TruthCheck | None]) -> list[str]:
    """Return what is to be said of truths that do not explain their own k-space."""
    bad = [(n, check) for n, check in zip(numbers, checks, strict=True) if check is not None and not check.is_sound]
    if not bad:
        return []
    number, check = max(bad, key=lambda one: one[1].misfit)
    share = f"{len(bad)} of {len(checks)} slices"
    return [f"the truth of {share} does not explain its own k-space (slice {number}: {check})"]


def is_fully_sampled(measured: Array) -> bool:
    """Return whether the measured samples (H, W) fill a rectangle; zeros around it are only padding."""
    rows, columns = (np.flatnonzero(measured.any(axis)) for axis in (1, 0))
    return bool(measured[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())


def reason(error: BaseException) -> str:
    """Return an error in one line, with its type unless its message is written for users."""
    text, name = one_line(error), type(error).__name__
    return text if isinstance(error, PLAIN_ERRORS) or text == name else f"{name}: {text}"


@dataclass(frozen=True)
class _Stored:
    """Slices as stored (coils, rows, columns), where they are measured, what is to be said, and the coils in use."""

    kspace: list[Array]
    measured: list[Array]
    numbers: list[int]
    hashes: list[str]
    remarks: list[str]
    alive: Array


def _read(volume: KSpaceVolume) -> _Stored:
    """Read the slices that have samples, without the coils that have none.

    Where k-space is measured is decided here, on the stored samples, because no zeros remain after the crop.
    """
    slices = [volume.read(index) for index in range(volume.shape[0])]
    for index, one in enumerate(slices):
        if not np.isfinite(one).all():
            raise KSpaceError(f"slice {index} of {volume.path} has values that are not finite")
    numbers = [index for index, one in enumerate(slices) if one.any()]
    if not numbers:
        raise KSpaceError(f"all slices of {volume.path} are empty")
    alive = np.any([slices[index].any((1, 2)) for index in numbers], axis=0)
    empty, dead = len(slices) - len(numbers), np.flatnonzero(~alive)
    remarks = [f"{empty} empty slices left out"] if empty else []
    remarks += [f"coils without a sample left out: {', '.join(map(str, dead))}"] if len(dead) else []
    kept, moved = centered([slices[index][alive] for index in numbers])
    hashes = [hashlib.sha256(slices[index].tobytes()).hexdigest() for index in numbers]
    return _Stored(kept, [(one != 0).any(0) for one in kept], numbers, hashes, remarks + moved, alive)


def _noise(volume: KSpaceVolume, stored: _Stored, source: str | float) -> Noise:
    if isinstance(source, str):
        if source in SOURCES:
            return estimated_noise(stored.kspace, stored.measured, source)
        return scanned_noise(volume.noise_scan(source), source, stored.alive)
    return given_noise(source, len(stored.kspace[0]))


def _whitening(noise: Noise, whiten: bool) -> Array:
    """Return the matrix (coils, coils) that scales the noise of real and imaginary parts to standard deviation 1."""
    return whitening_matrix(noise.covariance) if whiten else np.eye(len(noise.covariance)) / noise.level


def _is_done(source: Path, path: Path, settings: Mapping[str, object], verify: bool) -> bool:
    """Tell whether a whole prepared file is there that was made from this source.

    Raises
    ------
    ValueError
        If it was made with other settings.
    """
    if not path.exists():
        return False
    try:
        volume_file = PreparedVolumeFile(path)
        if verify:
            volume_file.verify()
    except KSpaceError:  # damaged: it is made again
        return False
    if volume_file.settings != settings:
        before = {key: value for key, value in volume_file.settings.items() if settings.get(key) != value}
        raise ValueError(f"{path} was prepared with other settings (there {before}): give another output, or remove it")
    return volume_file.source_sha256 == _hash(source)


def _hash(source: Path) -> str:
    return str(content_hashes(source.parent, [source.name])[0])


def _write_index(output: Path, files: dict[str, Path], prepared_files: dict[str, Path]) -> None:
    """Write one line per prepared slice: volume, file, slice, shape (coils, H, W) and hash of its k-space."""
    lines = []
    for name, path in prepared_files.items():
        volume_file = PreparedVolumeFile(path)
        for index, digest in zip(volume_file.slices, volume_file.hashes, strict=True):
            line = {"volume": name, "file": files[name].name, "slice": index}
            lines.append(json.dumps(line | {"shape": volume_file.shape[1:], "sha256": digest}))
    write_atomically(output / INDEX, "".join(f"{line}\n" for line in lines).encode())


@contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of single-threaded processes, which die with this process.

    One thread each keeps the order of floating-point sums, and so the results, independent of the number of processes.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, mp_context=spawn, initializer=end_with_parent) as pool:
            yield pool
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
