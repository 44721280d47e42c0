"""Preparation of raw k-space: noise, sensitivity maps and coil-combined images, in parallel and resumable."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

from alps_exp.crops import center_crop
from alps_exp.errors import one_line
from alps_exp.files import file_name, files_below, write_atomically
from alps_exp.mri.fourier import Array, to_image
from alps_exp.mri.kspace import KSpaceError, KSpaceVolume
from alps_exp.mri.prepared_volume import PreparedVolume, PreparedVolumeFile, write_prepared_volume
from alps_exp.mri.sensitivity import MapEstimator, calibration_region, calibration_width
from alps_exp.mri.whitening import edge_samples, noise_covariance, whitening_matrix

SUFFIXES = (".h5", ".hdf5", ".npy")
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
    noise : str
        ``edge``, or the name of a noise scan (coils, samples) in every file, acquired with the bandwidth of the
        k-space.
    whiten : bool
        Whether to make the noise of the coils uncorrelated with equal variance. Otherwise the coils are kept, and
        `noise_std` is the root mean square over them.
    config : dict
        These settings as plain values, which are written to every prepared file.
    """

    reader: Callable[[Path], KSpaceVolume]
    maps: MapEstimator
    noise: str
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
    """Open every file once; return the names of readable files, and the reasons for the others by name."""
    refused = {}
    for name, path in files.items():
        try:
            reader(path)
        except Exception as error:  # whatever a damaged file raises costs that file alone
            refused[name] = reason(error)
    return [name for name in files if name not in refused], refused


def prepare_volumes(
    files: dict[str, Path],
    output: Path,
    settings: PreparationSettings,
    num_workers: int,
    progress: Callable[[str], None],
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

    Raises
    ------
    ValueError
        If prepared files of other settings are in the way, or num_workers is below 1.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    paths = {name: output / VOLUMES / file_name(name, ".h5") for name in files}
    done = [name for name in files if _is_done(files[name], paths[name], settings.config)]
    todo = [name for name in files if name not in done]
    report, start = Report(done_before=len(done)), time.perf_counter()
    for leftover in (output / VOLUMES).glob(".*.tmp"):
        leftover.unlink()
    with _workers(min(num_workers, max(len(todo), 1))) as pool:
        futures: dict[Future[tuple[int, int] | str], str] = {
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
            slices, stored_bytes = result
            report.volumes += 1
            report.slices += slices
            report.stored_bytes += stored_bytes
            progress(f"{name}: {slices} slices")
    report.seconds = time.perf_counter() - start
    if good := [name for name in files if name not in report.failed]:
        _write_index(output, files, {name: paths[name] for name in good})
    return report


def _try_file(source: Path, volume_file: Path, settings: PreparationSettings) -> tuple[int, int] | str:
    """Call `prepare_file`, and return the reason if it fails: not every exception can be pickled between processes."""
    try:
        return prepare_file(source, volume_file, settings)
    except Exception as error:  # whatever a damaged file raises costs that file alone
        return reason(error)


def prepare_file(source: Path, volume_file: Path, settings: PreparationSettings) -> tuple[int, int]:
    """Prepare one file, write its prepared file, and return its number of slices and of bytes of stored k-space."""
    volume = settings.reader(source)
    write_prepared_volume(volume_file, prepare(volume, settings), settings.config, source.stat().st_size)
    return volume.shape[0], int(np.prod(volume.shape)) * np.dtype(np.complex64).itemsize


def prepare(volume: KSpaceVolume, settings: PreparationSettings) -> PreparedVolume:
    """Return the prepared volume.

    The scale is the largest magnitude of the coil-combined images in the central region where reconstructions are
    compared. For undersampled k-space, the images of the calibration region are used, so that the scale does not depend
    on the acceleration. They are blurred: on a brain with 24 x 24 samples, this scale was 0.69 of the true one.

    Raises
    ------
    KSpaceError
        If k-space is not finite, a slice is empty, slices have different sampling masks, the readout cannot be cropped,
        or noise or maps cannot be estimated.
    """
    kspace, measured, hashes = _read(volume)
    noise = edge_samples(kspace, measured) if settings.noise == "edge" else volume.noise_scan(settings.noise)
    whitening = _whitening(noise_covariance(noise), settings.whiten)
    # Maps are estimated after whitening: they must belong to the same (virtual) coils as the k-space.
    kspace = np.einsum("ij,sjhw->sihw", whitening.astype(np.complex64), kspace)
    maps = np.stack([settings.maps(one, measured) for one in kspace])
    fully_sampled = is_fully_sampled(measured)
    width = calibration_width(measured, settings.maps.calibration_width)
    images = combine(to_image(kspace if fully_sampled else calibration_region(kspace, width)), maps)
    scale = float(np.abs(center_crop(images, volume.recon_shape)).max())
    if not scale > 0:
        raise KSpaceError("the maps leave no image: they are zero where the object is")
    return PreparedVolume(
        kspace=kspace / np.float32(scale),
        sensitivity_maps=maps,
        image=images / np.float32(scale) if fully_sampled else None,
        mask=measured,
        scale=scale,
        noise_std=1 / scale,
        recon_shape=volume.recon_shape,
        hashes=hashes,
    )


def combine(coil_images: Array, maps: Array) -> Array:
    """Return ``sum over coils of conj(S) * image``, (slices, 1, H, W), of (slices, coils, H, W) each."""
    images: Array = (maps.conj() * coil_images).sum(1, keepdims=True)
    return images


def is_fully_sampled(measured: Array) -> bool:
    """Return whether the measured samples (H, W) fill a rectangle; zeros around it are only padding."""
    rows, columns = (np.flatnonzero(measured.any(axis)) for axis in (1, 0))
    return bool(measured[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())


def reason(error: BaseException) -> str:
    """Return an error in one line, with its type unless its message is written for users."""
    text, name = one_line(error), type(error).__name__
    return text if isinstance(error, PLAIN_ERRORS) or text == name else f"{name}: {text}"


def _read(volume: KSpaceVolume) -> tuple[Array, Array, list[str]]:
    """Return the k-space of all slices without readout oversampling, the sampling mask, and the hashes as stored.

    The mask is taken from the stored samples, because no zeros remain after the crop.
    """
    slices, measured, hashes = [], [], []
    for index in range(volume.shape[0]):
        stored = volume.read(index)
        if not np.isfinite(stored).all():
            raise KSpaceError(f"slice {index} of {volume.path} has values that are not finite")
        if not stored.any():
            raise KSpaceError(f"slice {index} of {volume.path} is empty")
        measured.append((stored != 0).any(0))
        if (measured[index] != measured[0]).any():
            raise KSpaceError(
                f"slices 0 and {index} of {volume.path} are measured at different samples of k-space, and a prepared "
                "volume has one mask: write slices of different masks to files of their own"
            )
        hashes.append(hashlib.sha256(stored.tobytes()).hexdigest())
        slices.append(volume.crop(stored))
    return np.stack(slices), measured[0][: volume.image_shape[0]], hashes


def _whitening(covariance: Array, whiten: bool) -> Array:
    """Return the matrix (coils, coils) that scales the noise of real and imaginary parts to standard deviation 1."""
    if whiten:
        return whitening_matrix(covariance)
    scaling: Array = np.eye(len(covariance)) / np.sqrt(np.diag(covariance).real.mean())
    return scaling


def _is_done(source: Path, path: Path, settings: Mapping[str, object]) -> bool:
    """Tell whether a whole prepared file is there that is not older than its source.

    Raises
    ------
    ValueError
        If it was made with other settings.
    """
    if not path.exists():
        return False
    try:
        volume_file = PreparedVolumeFile(path)
    except KSpaceError:  # damaged: it is made again
        return False
    if volume_file.settings != settings:
        before = {key: value for key, value in volume_file.settings.items() if settings.get(key) != value}
        raise ValueError(f"{path} was prepared with other settings (there {before}): give another output, or remove it")
    status = source.stat()
    return volume_file.source_size == status.st_size and status.st_mtime_ns <= path.stat().st_mtime_ns


def _write_index(output: Path, files: dict[str, Path], prepared_files: dict[str, Path]) -> None:
    """Write one line per prepared slice: volume, file, slice, shape (coils, H, W) and hash of its k-space."""
    lines = []
    for name, path in prepared_files.items():
        volume_file = PreparedVolumeFile(path)
        for index, digest in enumerate(volume_file.hashes):
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
        with ProcessPoolExecutor(count, mp_context=spawn, initializer=_end_with_parent) as pool:
            yield pool
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
