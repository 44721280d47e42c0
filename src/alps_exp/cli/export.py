"""`alps export`: write the estimates of a run as files that other programs read, in the units of their source."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from alps_exp.cli.verbs import VERBS
from alps_exp.config.arguments import nearest
from alps_exp.export import FORMATS, Exported, export_run
from alps_exp.runs import RunFolder
from alps_exp.runs.job import JobContext


def export(job: JobContext, /, *, run: str, format: str | Sequence[str], output: str | None) -> int:
    """Write the files, say what they hold, and return the exit status: 1 if images or slices are missing.

    Parameters
    ----------
    job
        The job.
    run
        The run folder.
    format
        One or several of png, tiff, npz and nii.
    output
        Folder of the files; null: the folder export in the run folder.

    Examples
    --------
    alps export outputs/restore/NAME/HASH format=png
    alps export outputs/restore/NAME/HASH 'format=[tiff,npz]' output=my/results
    alps export run=outputs/restore/NAME/HASH format=nii
    """
    formats = [format] if isinstance(format, str) else list(format)
    if not formats or (wrong := [name for name in formats if name not in FORMATS]):
        got = repr(wrong[0]) if formats else "none"
        raise ValueError(f"format is {got}{nearest(got, FORMATS)}")
    folder = RunFolder(run)
    _check_run(folder)
    target = Path(output) if output else folder.path / "export"
    exported = export_run(folder, target, formats)
    print("\n".join(_report(exported, folder, target)))
    for volume, numbers in exported.missing.items():
        print(f"missing: slices {', '.join(map(str, numbers))} of {volume}", file=sys.stderr)
    for image_id, reason in exported.failed.items():
        print(f"failed: {image_id}: {reason}", file=sys.stderr)
    return 0 if folder.is_done() and not exported.missing and not exported.failed else 1


def _check_run(folder: RunFolder) -> None:
    """Raise an error that says what a folder is, if it is not that of a run that has restored images."""
    if not folder.path.is_dir():
        raise FileNotFoundError(f"no folder {folder.path}, expected that of a run")
    starts = folder.starts()
    if folder.records():
        return
    verb = next((word for start in starts for word in start.command if word in VERBS), None)
    if verb in ("restore", "calibrate"):
        raise ValueError(f"{folder.path} has no restored image yet ({folder.progress()}): run the same command again")
    if verb is not None:
        raise ValueError(f"{folder.path} is a run of `alps {verb}`, which restores no images")
    below = sorted(path.parent for path in folder.path.rglob("records.jsonl"))
    cure = f": export one of the {len(below)} below it, as {below[0]}" if below else ""
    raise ValueError(f"{folder.path} is not the folder of a run{cure}")


def _report(exported: Exported, run: RunFolder, target: Path) -> list[str]:
    """Return what was written, and what its reader should know."""
    lines = [f"{target}: {len(exported.files)} files"]
    lines += [] if run.is_done() else [f"{run.path} is not done: {run.progress()}"]
    lines += [f"units: {units}" for units in exported.units]
    if exported.files and "std" not in exported.quantities:
        lines.append("no standard deviation, which needs at least 2 samples of an image (4 antithetic ones)")
    lines += dict.fromkeys(map(_geometry, exported.voxel_size.values()))
    for volume, numbers in exported.empty.items():
        lines.append(f"slices without k-space, which were not prepared: {', '.join(map(str, numbers))} of {volume}")
    return lines


def _geometry(voxel_size: Sequence[float] | None) -> str:
    if voxel_size is None:
        return "voxel size, orientation and position are not known"
    sizes = " x ".join(f"{size:.4g}" for size in voxel_size)
    return f"voxels of {sizes} mm (rows, columns, thickness of slices); gap, orientation and position are not known"
