"""`alps restore`: measure the test images through an operator and restore them with a sampler."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.cli.inference import choose_prior, log_result, predict
from alps_exp.evaluation import load_lpips
from alps_exp.lightning import ImageDataModule
from alps_exp.report import run_figure
from alps_exp.restoration import Restoration
from alps_exp.runs import Record, RunFolder
from alps_exp.runs.job import JobContext


def restore(
    job: JobContext,
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
    lpips: str | None,
    resume_anyway: bool,
    output_root: str,
) -> int:
    """Restore the test images and return the exit status: 1 if images failed."""
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    chosen_sampler = instantiate(sampler)
    prior = choose_prior(chosen_sampler, teacher, energy)
    images: ImageDataModule = instantiate(data)
    images.setup("predict")
    module = Restoration(
        prior.load(),
        instantiate(operator),
        chosen_sampler,
        job.folder,
        labels=instantiate(labels),
        num_samples=num_samples,
        seed=seed,
        save_samples=save == "samples",
        lpips=load_lpips(lpips),
    )
    report = partial(_report, job.folder)
    return predict(job, module, images, prior, trainer, logger, resume_anyway=resume_anyway, report=report)


def _report(folder: RunFolder, records: list[Record], trainer: pl.Trainer) -> list[Path]:
    """Draw the run's figure, print and log the mean metrics, and return the written files."""
    frame = pd.DataFrame([vars(record) | {"flagged": bool(record.flags)} for record in records])
    failed = frame.loc[frame.status != "ok", "image_id"].unique()
    frame = frame[~frame.image_id.isin(failed)]
    if frame.empty:
        return []
    figure = run_figure(folder)
    restored, judged = (frame.loc[rows, "image_id"].nunique() for rows in (frame.image_id.notna(), frame.psnr.notna()))
    numbers = frame[["psnr", "ssim", "nmse", "lpips", "data_misfit", "flagged"]].astype(float).dropna(axis=1, how="all")
    means = numbers.groupby(frame.estimate).mean()
    over = f"means over {restored} of {restored + len(failed)} images, {judged} of them with a truth"
    print(f"{folder.path}\n{over}\n{means.round(4).to_string()}")
    counts = {"images": float(restored), "failed": float(len(failed)), "with_truth": float(judged)}
    log_result(trainer, counts | {f"{i}/{k}": float(v) for (i, k), v in means.stack().items()}, "figure", figure)
    return [figure]
