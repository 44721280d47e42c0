"""`alps restore`: measure the test images through an operator and restore them with a sampler."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger

from alps_exp.commands.job import Job
from alps_exp.commands.trainer import log_config, open_trainer
from alps_exp.commands.training import index_hash
from alps_exp.data import ImageDataModule
from alps_exp.priors import model_path
from alps_exp.report import run_figure
from alps_exp.restoration import Restoration
from alps_exp.runs import Record, RunFolder, collect_provenance


def restore(
    job: Job,
    /,
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
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    chosen_sampler = instantiate(sampler)
    kind = chosen_sampler.denoiser
    prior_config = {"teacher": teacher, "energy": energy}[kind]
    if prior_config is None:
        raise ValueError(f"this sampler needs {'an' if kind == 'energy' else 'a'} {kind}, got {kind}=null")
    prior = instantiate(prior_config)
    images: ImageDataModule = instantiate(data)
    images.setup("predict")
    test: Any = images.test
    _check_images(test, prior, f"{kind} {prior_config.get('name', type(prior).__name__)}")
    module = Restoration(
        prior,
        instantiate(operator),
        chosen_sampler,
        job.folder,
        instantiate(labels),
        num_samples,
        seed,
        save == "samples",
    )
    with open_trainer(job, trainer, logger) as loop:
        if not loop.is_global_zero:
            loop.predict(module, images, return_predictions=False)
            return 0
        provenance = collect_provenance(
            seeds={"seed": seed},
            device=str(loop.strategy.root_device),
            checkpoints=_checkpoints(kind, prior_config, kind),
            data_hash=index_hash(test),
            num_images=len(test),
        )
        with job.folder.lock():
            job.begin(provenance, resume_anyway)
            log_config(job, loop)
            loop.predict(module, images, return_predictions=False)
            records = job.folder.merge_records(test.image_ids)
            _report(job.folder, records, loop)
            job.folder.mark_done()
    return _status(records)


def _checkpoints(role: str, config: Any, kind: str) -> dict[str, Path]:
    """Return the weight files that a prior's config names, by role: none of a closed form, several of a composition."""
    if not OmegaConf.is_config(config):
        return {}
    if "name" in config:
        return {role: model_path(config.name, kind)}
    parts = config.items() if OmegaConf.is_dict(config) else enumerate(config)
    return {name: path for key, part in parts for name, path in _checkpoints(f"{role}.{key}", part, kind).items()}


def _check_images(test: Any, prior: Any, model: str) -> None:
    """Raise ValueError if the images do not fit the model, or two of them have one id."""
    if test.channels != prior.channels:
        raise ValueError(
            f"the {model} works on {prior.channels} channels (complex images have 2), "
            f"the images of this data choice have {test.channels}"
        )
    if len(set(test.image_ids)) < len(test.image_ids):
        twice = next(i for i in test.image_ids if test.image_ids.count(i) > 1)
        raise ValueError(f"image id {twice!r} occurs more than once, expected one of its own for every image")


def _report(folder: RunFolder, records: list[Record], loop: pl.Trainer) -> None:
    """Draw the run's figure, and give logger and terminal the means over the restored images."""
    frame = pd.DataFrame([vars(record) for record in records])
    failed = frame.loc[frame.status != "ok", "image_id"].unique()
    frame = frame[~frame.image_id.isin(failed)]
    if frame.empty:
        return
    figure = run_figure(folder)
    means = frame.groupby("estimate")[["psnr", "ssim", "nmse"]].mean()
    print(f"{folder.path}\n{means.round(4).to_string()}")
    if loop.logger is not None:
        loop.logger.log_metrics({f"{i}/{k}": float(v) for (i, k), v in means.stack().items()})
    if isinstance(loop.logger, WandbLogger):
        loop.logger.log_image("figure", [str(figure)])


def _status(records: list[Record]) -> int:
    """Name the images that failed, and return the exit status."""
    failed = {record.image_id: record.status for record in records if record.status != "ok"}
    for image_id, reason in failed.items():
        print(f"failed: {image_id}: {reason}", file=sys.stderr)
    return 1 if failed else 0
