"""`alps calibrate`: coverage and rank statistics of a sampler's uncertainty, and conformal bounds."""

from __future__ import annotations

import copy
import sys
from functools import partial
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.batch import ImageDataset
from alps_exp.cli.inference import choose_prior
from alps_exp.cli.restore import print_failed
from alps_exp.datasets import FirstImages, PriorSamples, ZeroImages
from alps_exp.datasets.prior_samples import Samplable
from alps_exp.lightning import ImageDataModule
from alps_exp.lightning.trainer import open_trainer
from alps_exp.mri import PreparedSlices
from alps_exp.priors import Precision, Prior
from alps_exp.report import calibration_figure, write_calibration
from alps_exp.restoration import Calibration, RestorationSettings, calibration_report
from alps_exp.restoration.calibration import Report
from alps_exp.restoration.conformal import Settings, settings_of, write_conformal
from alps_exp.restoration.run import Run, log_result, predict
from alps_exp.runs.job import JobContext
from alps_exp.runs.records import GUARANTEE


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
    figures: bool,
    precision: Precision = "float32",
    compile: bool = False,
    resume_anyway: bool,
    verify: bool = False,
    output_root: str,
) -> int:
    """Restore images with several samples each, report their calibration, and return the exit status.

    Parameters
    ----------
    job
        The job.
    data
        The images, or those whose size draws of the prior have.
    operator
        The forward operator that measures them.
    sampler
        The sampler whose uncertainty is measured.
    generator
        Sampler that draws images from a prior that is not in closed form.
    images
        prior: draws of the prior; data: the test images, which give conformal.json too.
    count
        Number of images.
    seed
        Seed of draws, measurement noise and samples.
    figures
        Whether to draw the calibration.
    teacher, energy, trainer, logger, name, labels, num_samples, precision, compile, resume_anyway, verify, output_root
        As in `alps_exp.cli.restore.restore`.

    Examples
    --------
    alps calibrate energy=mixture teacher=mixture sampler=alps
    alps calibrate -m energy=gaussian teacher=gaussian sampler=alps,daps,dps logger=none
    alps calibrate data=brain teacher=brain64 energy=brain64 operator=mri_4x images=data count=6
    """
    settings = RestorationSettings(instantiate(labels), num_samples, seed)
    chosen_sampler, rule = instantiate(sampler), instantiate(operator)
    if chosen_sampler.estimate != "mmse":
        estimate = {"map": "MAP", "point": "point"}[chosen_sampler.estimate]
        raise ValueError(f"a {estimate} estimate has no spread to calibrate, expected a sampler that draws samples")
    prior = choose_prior(chosen_sampler, teacher, energy)
    model = prior.load(precision, compile)
    source: ImageDataModule = instantiate(data)
    draws = images == "prior" and not isinstance(model, Samplable)
    source.test = _images(source, model, images, count, seed)
    module = Calibration(
        model, rule, chosen_sampler, job.folder, settings, generator=instantiate(generator) if draws else None
    )
    bounded = settings_of(rule, chosen_sampler, model, num_samples) if images == "data" else None
    run = predict(
        job,
        module,
        source,
        open_trainer(job, trainer, logger),
        report=partial(_report, seed, figures, bounded),
        checkpoints=prior.checkpoints,
        resume_anyway=resume_anyway,
    )
    return print_failed(run.failed) if run else 0


def _images(
    source: ImageDataModule, prior: Prior, images: Literal["prior", "data"], count: int, seed: int
) -> ImageDataset:
    """Return the images to calibrate on: those of the data, exact draws of the prior, or zeros in place of draws."""
    if images == "prior" and isinstance(prior, Samplable):
        return PriorSamples(copy.deepcopy(prior), count, seed)  # a copy, which stays on the CPU
    source.setup("predict")
    assert source.test is not None
    if isinstance(source.test, PreparedSlices) and not source.test.has_truth:
        raise ValueError("some of these data are undersampled, without the truth that samples are compared with")
    return ZeroImages(source.test, count) if images == "prior" else FirstImages(source.test, count)


def _report(seed: int, figures: bool, bounded: Settings | None, run: Run, trainer: pl.Trainer) -> list[Path]:
    """Write the calibration of the restored images, give it to logger and terminal, and return what is written.

    With the settings that they are bounded to, conformal bounds are written as well.
    """
    report = calibration_report(run.folder, run.entries, seed)
    if report is None:
        return []
    written = write_calibration(report, run.folder.path)
    drawn = calibration_figure([report], run.folder.path / "calibration.png") if figures else []
    print(f"{run.folder.path}\n{(run.folder.path / 'calibration.md').read_text()}")
    log_result(trainer, numbers_of(report), "calibration", drawn)
    if bounded is not None:
        written.append(_write_bounds(run, bounded))
    return written + drawn


def _write_bounds(run: Run, settings: Settings) -> Path:
    """Write the conformal bounds of a run, and say for which images and levels they hold; return the file."""
    bounds = write_conformal(run.folder, settings)
    print(f"{bounds.path}: {GUARANTEE}")
    for shortage in bounds.shortages:
        print(f"warning: {shortage}", file=sys.stderr)
    return bounds.path


def numbers_of(report: Report) -> dict[str, float]:
    """Return the single numbers of a report, the coverage at each level, and how many images they are over."""
    counts = {key: report[key] for key in ("images", "failed")}
    covered = zip(report["levels"], report["coverage"]["value"], strict=True)
    numbers = {key: entry["value"] for key, entry in report.items() if isinstance(entry, dict)}
    return (
        counts
        | {f"coverage/{level:g}": value for level, value in covered}
        | {key: value for key, value in numbers.items() if not isinstance(value, list)}
    )
