"""`alps calibrate`: coverage and rank statistics of a sampler's uncertainty."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.cli.inference import choose_prior, log_result, predict
from alps_exp.datasets import FirstImages, PriorSamples, ZeroImages
from alps_exp.lightning import ImageDataModule
from alps_exp.report import write_calibration
from alps_exp.restoration import Calibration, calibration_report
from alps_exp.runs import Record, RunFolder
from alps_exp.runs.job import JobContext


def calibrate(
    job: JobContext,
    /,
    *,
    data: DictConfig,
    operator: DictConfig,
    sampler: DictConfig,
    generator: DictConfig,
    teacher: DictConfig | None,
    energy: DictConfig | None,
    trainer: DictConfig,
    logger: DictConfig | None,
    name: str,
    labels: DictConfig,
    images: Literal["prior", "data"],
    count: int,
    num_samples: int,
    seed: int,
    resume_anyway: bool,
    output_root: str,
) -> int:
    """Restore images with several samples each, report their calibration, and return the exit status."""
    if num_samples < 2:
        raise ValueError(f"num_samples must be at least 2, got {num_samples}")
    chosen_sampler = instantiate(sampler)
    if chosen_sampler.estimate != "mmse":
        estimate = {"map": "MAP", "point": "point"}[chosen_sampler.estimate]
        raise ValueError(f"a {estimate} estimate has no spread to calibrate, expected a sampler that draws samples")
    prior = choose_prior(chosen_sampler, teacher, energy)
    model: Any = prior.load()
    source: ImageDataModule = instantiate(data)
    to_draw = images == "prior" and not hasattr(model, "sample")
    if images == "prior" and not to_draw:
        source.test = PriorSamples(copy.deepcopy(model), count, seed)  # which stays on the CPU
    else:
        source.setup("predict")
        if not getattr(source.test, "has_truth", True):
            raise ValueError("some of these data are undersampled, without the truth that samples are compared with")
        source.test = (ZeroImages if to_draw else FirstImages)(source.test, count)
    module = Calibration(
        model,
        instantiate(operator),
        chosen_sampler,
        job.folder,
        labels=instantiate(labels),
        num_samples=num_samples,
        seed=seed,
        generator=instantiate(generator) if to_draw else None,
    )
    report = partial(_report, job.folder, seed)
    return predict(job, module, source, prior, trainer, logger, resume_anyway=resume_anyway, report=report)


def _report(folder: RunFolder, seed: int, records: list[Record], trainer: pl.Trainer) -> list[Path]:
    """Write the calibration of the restored images, give it to logger and terminal, and return what is written."""
    report = calibration_report(folder, records, seed)
    if report is None:
        return []
    written = write_calibration(report, folder.path)
    print(f"{folder.path}\n{(folder.path / 'calibration.md').read_text()}")
    log_result(trainer, _scalars(report), "calibration", written[-1])
    return written


def _scalars(report: dict[str, Any]) -> dict[str, float]:
    """Return the single numbers of a report, the coverage at each level, and how many images they are over."""
    counts = {key: report[key] for key in ("images", "failed")}
    covered = zip(report["levels"], report["coverage"]["value"], strict=True)
    numbers = {key: entry["value"] for key, entry in report.items() if isinstance(entry, dict)}
    return (
        counts
        | {f"coverage/{level:g}": value for level, value in covered}
        | {key: value for key, value in numbers.items() if not isinstance(value, list)}
    )
