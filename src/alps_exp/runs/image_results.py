"""The result of one image as an HDF5 file; its existence is what marks the image as finished."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import h5py
import numpy as np

from alps_exp.errors import ImageError, one_line
from alps_exp.files import checksum, open_hdf5, text_checksum, write_atomically
from alps_exp.runs.field_types import check_fields
from alps_exp.runs.records import Record
from alps_exp.runs.units import attributes_of
from alps_exp.source import SourceSlice

_OF_SPREAD = ("std", "magnitude_std", "interval", "magnitude_interval", "half_width")
_ARRAYS = ("truth", "measurement", "adjoint", *_OF_SPREAD, "samples")
_GROUPS = ("estimates", "diagnostics")
_AXES = {"truth": 3, "adjoint": 3, "std": 3, "magnitude_std": 3, "interval": 4, "magnitude_interval": 4, "samples": 4}
_AXES |= {"half_width": 4, "source_scale": 3}
"""Number of axes of images; estimates have three, measurements and diagnostics any number."""
RECORDS, CHECKSUMS, SOURCE, SCALE = "records", "checksums", "source", "source_scale"


class _SourceText(TypedDict):
    """What a file says of a `SourceSlice` beside its scale."""

    volume: str
    number: int
    numbers: list[int]
    voxel_size: list[float] | None


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
    half_width
        Half-widths of the conformal intervals of every pixel around the MMSE estimate, real, (L, C, H, W) for the L
        levels of the record; for complex pixels the radius of a disk. None without conformal factors.
    diagnostics
        Real numbers by name, per chain (S, ...) or per image ().
    source
        The slice of a volume that the image shows, and what makes its values those of the volume's file; None for other
        images.
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
    half_width: np.ndarray | None = None
    diagnostics: dict[str, np.ndarray] = field(default_factory=dict)
    source: SourceSlice | None = None

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


class DamagedFile(ImageError):
    """A file that exists but does not hold a complete result."""


def write_result(path: Path, result: ImageResult) -> None:
    """Write a result atomically, real arrays as float32 and complex arrays as complex64, with a checksum of each.

    Attributes of the arrays say their range and units, see `alps_exp.runs.units`.
    A record with a non-finite number is written as failed.

    Parameters
    ----------
    path
        The HDF5 file; one that exists is replaced.
    result
        The result of an image.
    """
    records = "\n".join(record.checked().to_json() for record in result.records)
    arrays = {name: _stored(array) for name, array in _named(result).items() if array is not None}
    texts = {RECORDS: records} | ({SOURCE: _source_text(result.source)} if result.source else {})
    sums = {name: text_checksum(text) for name, text in texts.items()}
    sums |= {name: checksum(array) for name, array in arrays.items()}
    is_complex = any(np.iscomplexobj(array) for name, array in arrays.items() if name != "measurement")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update(texts | {CHECKSUMS: json.dumps(sums)})
        for name, array in arrays.items():
            file[name] = array
            file[name].attrs.update(attributes_of(name, is_complex, SCALE in arrays))
    write_atomically(path, buffer.getvalue())


def _named(result: ImageResult) -> dict[str, np.ndarray | None]:
    """Return the arrays of a result by their names in the file."""
    single = {name: getattr(result, name) for name in _ARRAYS} | {SCALE: result.source and result.source.scale}
    return single | {f"{group}/{name}": a for group in _GROUPS for name, a in getattr(result, group).items()}


def _source_text(source: SourceSlice) -> str:
    return json.dumps({name: getattr(source, name) for name in _SourceText.__annotations__})


def _stored(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, dtype=np.complex64 if np.iscomplexobj(array) else np.float32)


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
        If the file is truncated, fails its checksums, or does not hold what a result holds: arrays of numbers stored as
        a whole, images of the axes of `ImageResult`, the truth of the shape of its estimates, and these as recorded.
    """
    with _opened(path) as file:
        found = _checked_arrays(file)
        arrays = {name: found[name] for name in _ARRAYS if name in found}
        groups = (
            {name.removeprefix(f"{g}/"): a for name, a in found.items() if name.startswith(f"{g}/")} for g in _GROUPS
        )
        estimates, diagnostics = groups
        source = _source(file, found.get(SCALE))
        result = ImageResult(_records(file), estimates=estimates, diagnostics=diagnostics, source=source, **arrays)
        _check_estimates(result)
        return result


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


def read_source(path: Path) -> SourceSlice | None:
    """Read the source of a result without its arrays, and so without its scale.

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
        return _source(file, None)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if path.is_symlink():
        raise DamagedFile(f"{path} is a link, expected the result itself")
    try:
        with open_hdf5(path) as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DamagedFile(f"{path} is damaged: {one_line(error)}") from error


def _records(file: h5py.File) -> list[Record]:
    return [Record.from_json(line) for line in _checked_text(file, RECORDS).splitlines()]


def _source(file: h5py.File, scale: np.ndarray | None) -> SourceSlice | None:
    if SOURCE not in _checksums(file):
        return None
    values = json.loads(_checked_text(file, SOURCE))
    if not isinstance(values, dict) or values.keys() != _SourceText.__annotations__.keys():
        raise ValueError("its source is no slice of a volume")
    check_fields(values, _SourceText)
    source = SourceSlice(**values, scale=scale)
    if source.number not in source.numbers or sorted(set(source.numbers)) != source.numbers or source.numbers[0] < 0:
        raise ValueError("the slice of its source is none of those of the volume")
    return source


def _checked_text(file: h5py.File, name: str) -> str:
    text = _text(file, name)
    if text_checksum(text) != _checksums(file).get(name):
        raise ValueError(f"its {name} do not match their checksum")
    return text


def _checked_arrays(file: h5py.File) -> dict[str, np.ndarray]:
    """Return all arrays of a file; raises ValueError if they are not those that were written."""
    stored: dict[str, h5py.Dataset] = {}
    # Links are not followed: what they lead to was not written here.
    file.visititems(lambda name, item: stored.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    sums = _checksums(file)
    if stored.keys() != sums.keys() - {RECORDS, SOURCE}:
        raise ValueError("arrays are missing, or were added")
    for name, item in stored.items():
        _check_stored(name, item)
    if sum(item.nbytes for item in stored.values()) > file.id.get_filesize():
        raise ValueError("its arrays are larger than the file")
    arrays = {name: item[()] for name, item in stored.items()}
    if wrong := [name for name, array in arrays.items() if checksum(np.asarray(array)) != sums[name]]:
        raise ValueError(f"{wrong[0]} does not match its checksum")
    _check_shapes(arrays)
    return arrays


def _check_stored(name: str, item: h5py.Dataset) -> None:
    """Raise ValueError if an array is not as `write_result` stores them: as a whole, in the file itself."""
    if item.shape is None or item.dtype not in (np.float32, np.complex64):
        raise ValueError(f"{name} has no numbers of single precision")
    if item.is_virtual or item.external is not None or item.id.get_storage_size() != item.nbytes:
        raise ValueError(f"{name} is not stored as a whole in the file itself")


def _check_shapes(arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError if an image has not the axes of one, or the truth another shape than its estimates."""
    shapes = {name: array.shape for name, array in arrays.items() if name in _AXES or name.startswith("estimates/")}
    for name, shape in shapes.items():
        if len(shape) != _AXES.get(name, 3) or 0 in shape:
            raise ValueError(f"{name} has the shape {shape}, expected that of an image")
    compared = {shape for name, shape in shapes.items() if name == "truth" or name.startswith("estimates/")}
    if len(compared) > 1:
        raise ValueError(f"its truth and estimates have the shapes {', '.join(map(str, sorted(compared)))}")


def _check_estimates(result: ImageResult) -> None:
    """Raise ValueError if an estimate has no record, a record without a fault no estimate, or a level no half-width."""
    for name in result.estimates:
        result.record(name)
    restored = {record.estimate for record in result.records if record.status == "ok"}
    if missing := restored - result.estimates.keys():
        raise ValueError(f"the estimate {min(missing)!r} is missing")
    levels = {len(record.conformal["levels"]) for record in result.records if record.conformal}
    if levels and result.half_width is not None and levels != {len(result.half_width)}:
        raise ValueError("half_width has not one map for each level")


def _checksums(file: h5py.File) -> dict[str, str]:
    if CHECKSUMS not in file.attrs:
        raise ValueError("it has no checksums, as results of earlier versions")
    sums = json.loads(_text(file, CHECKSUMS))
    if not isinstance(sums, dict):
        raise ValueError("its checksums have no names")
    return sums


def _text(file: h5py.File, name: str) -> str:
    """Return an attribute of a file, which must be a single text."""
    text = file.attrs[name] if file.attrs.get_id(name).shape == () else None
    if not isinstance(text, str):
        raise ValueError(f"its {name} are no text")
    return text
