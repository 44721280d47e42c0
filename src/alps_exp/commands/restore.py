"""`alps restore`: measure the test images through an operator and restore them with a sampler."""

from __future__ import annotations

import hashlib
import sys
from typing import Any, Literal

import pandas as pd
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.commands.training import run_folder
from alps_exp.data import ImageDataModule
from alps_exp.priors import model_path
from alps_exp.report import run_figure
from alps_exp.restoration import Restoration
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
        instantiate(labels),
        num_samples,
        seed,
        save == "samples",
    )
    ids = images.test.image_ids
    with folder.lock():
        loop = instantiate(trainer, logger=instantiate(logger) if logger else False, default_root_dir=str(folder.path))
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


def _report(folder: RunFolder, records: list[Record], loop: pl.Trainer) -> None:
    """Draw the run's figure, and give logger and terminal the means over the restored images."""
    frame = pd.DataFrame([vars(record) for record in records if record.status == "ok"])
    if frame.empty:
        return
    figure = run_figure(folder)
    means: Any = frame.groupby("estimate")[["psnr", "ssim", "nmse"]].mean(numeric_only=True)
    for name, row in means.iterrows():
        print(f"{folder.path}: {name} PSNR {row.psnr:.2f} dB, SSIM {row.ssim:.3f}")
    if loop.logger is not None:
        loop.logger.log_metrics({f"{name}/{k}": v for name, row in means.iterrows() for k, v in row.items()})
        if hasattr(loop.logger, "log_image"):
            loop.logger.log_image("figure", [str(figure)])


def _status(records: list[Record]) -> int:
    """Name the images that failed, and return the exit status."""
    failed = {record.image_id: record.status for record in records if record.status != "ok"}
    for image_id, reason in failed.items():
        print(f"failed: {image_id}: {reason}", file=sys.stderr)
    return 1 if failed else 0
