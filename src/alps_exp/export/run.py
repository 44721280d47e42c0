"""The files of an export: those of each image, and those of each volume."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from alps_exp.export.formats import check_formats, nifti_bytes, npz_bytes, png_bytes, tiff_bytes
from alps_exp.export.quantities import MAGNITUDES, MEANINGS, PICTURES, units_of
from alps_exp.export.volumes import Volume, volumes_of
from alps_exp.files import file_name, write_atomically
from alps_exp.foreign_files import read_bytes
from alps_exp.runs import RunFolder

MANIFEST = "export.json"


@dataclass
class Exported:
    """What an export wrote, and what it could not.

    Attributes
    ----------
    files
        Names of the files in the folder.
    units
        Units of the values; several if they are not the same for all images.
    quantities
        What each quantity in the name of a file is.
    white
        What 65,535 stands for in a PNG of 16 bits, by the name of the file.
    voxel_size
        From row to row, from column to column, and thickness of a slice in mm, by volume; None: not known.
    missing
        Slices that are not restored, by volume. In NIfTI files they are NaN.
    empty
        Slices that were not prepared, since they have no k-space, by volume. In NIfTI files they are NaN.
    failed
        Why there is no file of an image, by its id.
    """

    files: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    quantities: dict[str, str] = field(default_factory=dict)
    white: dict[str, float] = field(default_factory=dict)
    voxel_size: dict[str, list[float] | None] = field(default_factory=dict)
    missing: dict[str, list[int]] = field(default_factory=dict)
    empty: dict[str, list[int]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def note(self, volume: Volume) -> None:
        """Note what a volume is, and what is not there of it."""
        if volume.source is not None:
            self.voxel_size[volume.name] = volume.source.voxel_size
        if volume.missing:
            self.missing[volume.name] = volume.missing
        if volume.empty:
            self.empty[volume.name] = volume.empty


def export_run(run: RunFolder, output: Path, formats: Sequence[str]) -> Exported:
    """Write the estimates of a run, as far as it is, in the units of their source.

    Each image has PNG, TIFF and npz files of its own. Each volume has NIfTI files, as has an image that is in none. A
    file is named after the image or volume and what it holds, as ``IMAGE_ID.mmse.png``. `MANIFEST` says what is
    returned.

    Parameters
    ----------
    run
        Folder of the run.
    output
        Folder of the files. It may hold an earlier export of this run, whose files are replaced.
    formats
        Some of `FORMATS`.

    Raises
    ------
    ValueError
        If the output holds something else, a package is missing, or a format cannot hold these images.
    """
    exported, config = Exported(), run.load_config()
    header = {"run": os.path.relpath(run.path.resolve(), output.resolve())}
    for volume in volumes_of(run, exported.failed):
        exported.note(volume)
        if not volume.results:
            continue
        first = next(iter(volume.results.values()))
        check_formats(formats, next(iter(first.estimates.values())))
        if not exported.files:
            _claim(output, header)
        units = units_of(first, config)
        if units not in exported.units:
            exported.units.append(units)
        for file, content in _contents(volume, formats, units, exported):
            write_atomically(output / file, content)
            exported.files.append(file)
    if exported.files:
        _write_manifest(output, header | asdict(exported))
    return exported


def _claim(output: Path, header: Mapping[str, object]) -> None:
    """Write a first manifest; raise ValueError if the folder holds something else than an export of this run."""
    if output.exists():
        try:
            known = not any(output.iterdir()) or json.loads(read_bytes(output / MANIFEST))["run"] == header["run"]
        except (KeyError, OSError, RecursionError, TypeError, ValueError):
            known = False
        if not known:
            raise ValueError(f"{output} is there already, and is no export of this run: name another by output=PATH")
    _write_manifest(output, header)


def _write_manifest(output: Path, content: Mapping[str, object]) -> None:
    write_atomically(output / MANIFEST, json.dumps(content, indent=1).encode())


def _contents(volume: Volume, formats: Sequence[str], units: str, exported: Exported) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a volume and of its slices."""
    first = next(iter(volume.quantities.values()))
    exported.quantities |= {name: MEANINGS[name] for name in first}
    real = [name for name, array in first.items() if not np.iscomplexobj(array)]
    whites = {name: volume.largest(name) for name in MAGNITUDES if name in first}
    for number, found in volume.quantities.items():
        image_id = volume.results[number].records[0].image_id
        for name in real if "png" in formats else ():
            if name in PICTURES:
                file = file_name(image_id, f".{name}.png")
                exported.white |= {file: whites[name]} if name in whites else {}
                yield file, png_bytes(found[name], whites.get(name), units)
        for name in real if "tiff" in formats else ():
            yield file_name(image_id, f".{name}.tiff"), tiff_bytes(found[name], units)
        if "npz" in formats:
            yield file_name(image_id, ".npz"), npz_bytes({**found, **_told(volume, number, units)})
    voxel_size = volume.source.voxel_size if volume.source else None
    for name in first if "nii" in formats else ():
        yield file_name(volume.name, f".{name}.nii"), nifti_bytes(volume.stacked(name), voxel_size, name)


def _told(volume: Volume, number: int, units: str) -> dict[str, object]:
    """Return what an npz file says of its image beside the quantities."""
    told: dict[str, object] = {"image_id": volume.results[number].records[0].image_id, "units": units}
    if volume.source is not None:
        told |= {"volume": volume.name, "slice": number}
        told |= {"voxel_size": volume.source.voxel_size} if volume.source.voxel_size else {}
    return told
