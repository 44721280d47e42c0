"""`alps prepare`: prepare k-space for restoration: index, sensitivity maps, coil-combined images, noise."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from alps_exp.checks import positive
from alps_exp.mri.preparation import INDEX, PreparationSettings, find_volumes, open_volumes, prepare_volumes
from alps_exp.runs import RunFolder, collect_provenance
from alps_exp.runs.job import JobContext


def prepare(
    job: JobContext,
    /,
    *,
    root: str,
    source: str,
    output: str,
    reader: DictConfig,
    maps: DictConfig,
    noise: str | float,
    whiten: bool,
    invalid: Literal["skip", "refuse"],
    num_workers: int,
    verify: bool = False,
) -> int:
    """Prepare the volumes that are not prepared yet, and return the exit status: 1 if volumes failed.

    The output folder counts as done once it holds a volume.

    Parameters
    ----------
    job
        The job.
    root
        Root of all data, from the variable ALPS_DATA.
    source
        File or folder with k-space.
    output
        Folder of the prepared volumes; what is there already is not made again.
    reader
        How k-space is read.
    maps
        How coil sensitivity maps are estimated.
    noise
        auto, edge, background, a level, or the name of a noise scan in the files.
    whiten
        Whether to make the noise of the coils uncorrelated.
    invalid
        Files that cannot be read: skip or refuse.
    num_workers
        Processes that prepare volumes.
    verify
        Whether to hash all prepared files. Otherwise only those of another size or time are.

    Examples
    --------
    alps prepare source=fastmri/multicoil_val output=prepared num_workers=8
    alps prepare source=fastmri/multicoil_val output=prepared maps=low_resolution
    alps prepare reader=arrays source=kspace.npy 'reader.axes=[coil,row,column]' output=prepared
    """
    config: dict[str, object] = {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in {"reader": reader, "maps": maps, "noise": noise, "whiten": whiten}.items()
    }
    settings = PreparationSettings(instantiate(reader), instantiate(maps), noise, whiten, config)
    if not isinstance(noise, str):
        positive("noise", noise)
    files = find_volumes(Path(source))
    names, refused = open_volumes(files, settings.reader)
    if refused and invalid == "refuse":
        raise ValueError(f"{len(refused)} of {len(files)} files cannot be read: {'; '.join(refused.values())}")
    folder = RunFolder(output, verify)
    with folder.lock():
        folder.begin(collect_provenance(seeds={}, device="cpu"))
        folder.save_config(job.config)
        report = prepare_volumes({n: files[n] for n in names}, folder.path, settings, num_workers, print, verify)
        report.failed |= refused
        if len(report.failed) < len(files):
            folder.mark_done([INDEX])
        else:
            folder.mark_failed(f"none of {len(files)} volumes could be prepared")
    print(f"{report}\n{folder.path}")
    for name, reason in report.failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return 1 if report.failed else 0
