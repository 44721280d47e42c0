"""`alps restore`: measure the test images through an operator and restore them with a sampler."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import pandas as pd
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.commands.training import run_folder
from alps_exp.data import ImageDataModule
from alps_exp.priors import model_path
from alps_exp.report import run_figure
from alps_exp.restoration import Labels, Restoration
from alps_exp.runs import Record, RunFolder, collect_provenance


def restore(
    *,
    data: DictConfig,
    operator: DictConfig,
    sampler: DictConfig,
    teacher: DictConfig | None,
    energy: DictConfig | None,
    trainer: DictConfig,
    logger: DictConfig | None,
    name: str,
    labels: DictConfig,
    num_samples: int,
    seed: int,
    save: Literal["summary", "samples"],
    resume_anyway: bool,
    output_root: str,
) -> int:
    """Restore the test images and return the exit status: 1 if some failed."""
    chosen_sampler = instantiate(sampler)
    kind = chosen_sampler.denoiser
    prior_config = {"teacher": teacher, "energy": energy}[kind]
    if prior_config is None:
        raise ValueError(f"this sampler needs {'an' if kind == 'energy' else 'a'} {kind}, got {kind}=null")
    prior = instantiate(prior_config)
    images: ImageDataModule = instantiate(data)
    images.setup("predict")
    if images.test.channels != prior.channels:
        raise ValueError(
            f"the {kind} {prior_config.name} works on {prior.channels} channels, "
            f"the images have {images.test.channels}"
        )
    folder = RunFolder(run_folder().path)
    module = Restoration(
        prior,
        instantiate(operator),
        chosen_sampler,
        folder,
        Labels(**labels),
        num_samples,
        seed,
        save == "samples",
    )
    ids = images.test.image_ids
    with folder.lock():
        loop = instantiate(trainer, logger=instantiate(logger), default_root_dir=str(folder.path))
        provenance = collect_provenance(
            seeds={"seed": seed},
            device=str(loop.strategy.root_device),
            checkpoints={kind: model_path(prior_config.name, kind)},
            data_hash=hashlib.sha256("\n".join(images.test.index).encode()).hexdigest(),
            num_images=len(ids),
        )
        folder.begin(provenance, resume_anyway)
        loop.predict(module, images, return_predictions=False)
        records = folder.merge_records(ids)
        _report(folder, records, loop)
        folder.mark_done()
    return _status(records)
