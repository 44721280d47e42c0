"""Jobs that an earlier start has finished: answered before Lightning is imported and weights are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.batch import ImageDataset
from alps_exp.masks.file import mask_files
from alps_exp.runs import collect_provenance
from alps_exp.runs.folder import DONE
from alps_exp.runs.job import JobContext
from alps_exp.runs.provenance import index_hash

DATA_MODULE = "alps_exp.lightning.ImageDataModule"


def is_finished(
    job: JobContext,
    data: DictConfig,
    rules: tuple[object, ...],
    checkpoints: Callable[[], Mapping[str, Path]],
    seed: int,
    resume_anyway: bool,
) -> bool:
    """Return whether all test images of a job are restored, and print so, without making the data module.

    Parameters
    ----------
    job
        The job.
    data
        Config of the data. A data module of a user's own may change its images when it is set up, so its jobs count as
        unfinished here, as do those that were never done: `alps_exp.restoration` asks again.
    rules
        Operator and regions, whose mask files count as data.
    checkpoints
        Returns the files by role that are hashed as the weights of the prior are; asked only of a job that was done.
    seed
        Seed of the request.
    resume_anyway
        Whether to accept other images or weights.

    Raises
    ------
    ValueError
        If images or these files differ from those of the run, and `resume_anyway` is false.
    """
    if not (job.folder.path / DONE).exists() or data.get("_target_") != DATA_MODULE or data.get("test") is None:
        return False
    images: ImageDataset = instantiate(data.test)
    start = partial(
        collect_provenance,
        seeds={"seed": seed},
        checkpoints=checkpoints(),
        data_hash=index_hash(images, mask_files(*rules)),
        num_images=len(images),
    )
    return job.is_done(start, resume_anyway, images.image_ids)
