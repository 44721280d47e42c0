"""The result of one image as an HDF5 file; its existence is what marks the image as finished."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from alps_exp.files import open_hdf5, write_atomically
from alps_exp.runs.records import Record

_ARRAYS = ("truth", "measurement", "adjoint", "std", "magnitude_std", "interval", "magnitude_interval", "samples")
_GROUPS = ("estimates", "diagnostics")


@dataclass
class ImageResult:
    """The records of one image and the arrays behind them; a failed image may have no arrays.

    Attributes
    ----------
    records
        A record for each estimate, and for each of the samples.
    truth
        Ground truth, (C, H, W); None: unknown.
    measurement
        Measurement y, of the operator's shape without the batch.
    adjoint
        A^H y, (C, H, W), for display.
    estimates
        Estimates (C, H, W) by the names of the records: ``sample`` (the first one), ``mmse``, ``map``, ``point``.
    std
        Standard deviation of the samples, real, (C, H, W); None for a single sample. Of complex samples x it is that of
        ``abs(x - mean)``, the root of the summed variances of the two parts.
    magnitude_std
        Standard deviation of the magnitude of complex samples, (C, H, W).
    interval, magnitude_interval
        Lower and upper end of the central interval of every pixel, (2, C, H, W), complex for the two parts of complex
        samples; and that of the magnitude of these. None if no interval was requested.
    samples
        All samples, (S, C, H, W); None if they are not kept.
    diagnostics
        Real numbers by name, per chain (S, ...) or per image ().
    """

    records: list[Record]
    truth: np.ndarray | None = None
    measurement: np.ndarray | None = None
    adjoint: np.ndarray | None = None
    estimates: dict[str, np.ndarray] = field(default_factory=dict)
    std: np.ndarray | None = None
    magnitude_std: np.ndarray | None = None
    interval: np.ndarray | None = None
    magnitude_interval: np.ndarray | None = None
    samples: np.ndarray | None = None
    diagnostics: dict[str, np.ndarray] = field(default_factory=dict)

    def record(self, estimate: str) -> Record:
        """Return the record of an estimate, for samples the first one.

        Raises
        ------
        ValueError
            If there is no such record.
        """
        for record in self.records:
            if record.estimate == estimate and not record.sample_index:
                return record
        raise ValueError(f"no record of the estimate {estimate!r}")


class DamagedFile(ValueError):
    """A file that exists but does not hold a complete result."""


def write_result(path: Path, result: ImageResult) -> None:
    """Write a result atomically, real arrays as float32 and complex arrays as complex64.

    A record with a non-finite number is written as failed.

    Parameters
    ----------
    path
        The HDF5 file; one that exists is replaced.
    result
        The result of an image.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["records"] = "\n".join(record.checked().to_json() for record in result.records)
        for name in _ARRAYS:
            _write_array(file, name, getattr(result, name))
        for group in _GROUPS:
            for name, array in getattr(result, group).items():
                _write_array(file, f"{group}/{name}", array)
    write_atomically(path, buffer.getvalue())


def _write_array(file: h5py.File, name: str, array: np.ndarray | None) -> None:
    if array is not None:
        array = np.asarray(array)
        dtype = np.complex64 if np.iscomplexobj(array) else np.float32
        # With a checksum, HDF5 refuses to read damaged data. Scalars and empty arrays cannot have one.
        checked = bool(array.ndim and array.size)
        file.create_dataset(name, data=array, dtype=dtype, chunks=array.shape if checked else None, fletcher32=checked)


def read_result(path: Path) -> ImageResult:
    """Read the result of an image.

    Parameters
    ----------
    path
        A file of `write_result`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFile
        If the file is truncated, fails its checksums, or is not a result file.
    """
    with _opened(path) as file:
        arrays = {name: file[name][()] for name in _ARRAYS if name in file}
        estimates, diagnostics = ({name: array[()] for name, array in file.get(g, {}).items()} for g in _GROUPS)
        return ImageResult(_records(file), estimates=estimates, diagnostics=diagnostics, **arrays)


def read_records(path: Path) -> list[Record]:
    """Read the records of a result without its arrays.

    Parameters
    ----------
    path
        A file of `write_result`.

    Raises
    ------
    FileNotFoundError, DamagedFile
        As `read_result`.
    """
    with _opened(path) as file:
        return _records(file)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        with open_hdf5(path) as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error


def _records(file: h5py.File) -> list[Record]:
    return [Record.from_json(line) for line in file.attrs["records"].splitlines()]
