"""A durable run: images restored in a run folder, resumed where a start was ended, and never mixed with another run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import pandas as pd
import pytorch_lightning as pl
from omegaconf import OmegaConf
from torch import Tensor

from alps_exp.batch import ImageDataset
from alps_exp.checks import check_unique
from alps_exp.datasets import TensorImages
from alps_exp.evaluation import LPIPS
from alps_exp.lightning import ImageDataModule
from alps_exp.lightning.loggers import log_figure
from alps_exp.lightning.trainer import log_start
from alps_exp.lightning.wandb_run import log_images
from alps_exp.masks.file import mask_files
from alps_exp.priors import NullPrior, Prior
from alps_exp.priors.execution import precision_of
from alps_exp.reconstruction import Reconstruction
from alps_exp.report import run_figure
from alps_exp.representation import as_settings
from alps_exp.restoration.batch_size import auto_batch_size
from alps_exp.restoration.conformal import read_conformal, settings_of, weights_hash
from alps_exp.restoration.measuring import OperatorRule, Regions
from alps_exp.restoration.module import Restoration
from alps_exp.restoration.settings import Labels, RestorationSettings
from alps_exp.runs import ESTIMATES, Provenance, Record, RunFolder, collect_provenance
from alps_exp.runs.job import JobContext
from alps_exp.runs.objective import METRICS, means_of
from alps_exp.runs.provenance import index_hash
from alps_exp.samplers import Sampler
from alps_exp.samplers.problem import Callback

log = logging.getLogger(__name__)
SHOWN = (*METRICS, "flagged")

Trainer = AbstractContextManager[pl.Trainer]


@dataclass(frozen=True, repr=False)
class Run:
    """What a run leaves: its folder, and the records of its images.

    Attributes
    ----------
    folder
        Folder of the run.
    entries
        The records, one for each estimate of an image.
    restored
        Whether this start did anything: not if the run was done before, nor in any but the first of several processes,
        which have no records.
    """

    folder: RunFolder
    entries: Sequence[Record]
    restored: bool = True

    def __repr__(self) -> str:
        counts = self.counts()
        return f"Run({self.folder.path}: {counts['images']} images restored, {counts['failed']} failed)"

    @cached_property
    def records(self) -> pd.DataFrame:
        """The records as a data frame, with the fields of `Record` as columns."""
        return pd.DataFrame([vars(record) for record in self.entries], columns=list(Record.__dataclass_fields__))

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Means over the restored images by name, see `alps_exp.runs.objective.means_of`."""
        return means_of(self.entries)

    @property
    def failed(self) -> dict[str, str]:
        """Why images were not restored, by image id."""
        return {record.image_id: record.status for record in self.entries if record.status != "ok"}

    def restored_records(self) -> pd.DataFrame:
        """Return the records of the restored images."""
        return self.records[~self.records["image_id"].isin(list(self.failed))]

    def means(self) -> pd.DataFrame:
        """Return the means of the metrics over the restored images, a row for each kind of estimate."""
        rows = {kind: {name: self.numbers.get(f"{kind}/{name}") for name in SHOWN} for kind in sorted(ESTIMATES)}
        table = pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis("estimate")
        return table.dropna(how="all").dropna(axis=1, how="all")

    def warnings(self) -> dict[str, int]:
        """Return what does not fit the images, and how many of them."""
        counts: dict[str, int] = self.records.explode("warnings").groupby("warnings")["image_id"].nunique().to_dict()
        return counts

    def counts(self) -> dict[str, int]:
        """Return how many images were restored, how many failed, and how many of the restored ones have a truth."""
        good = self.restored_records()
        with_truth = good.loc[good["psnr"].notna(), "image_id"].nunique()
        return {"images": good["image_id"].nunique(), "failed": len(self.failed), "with_truth": with_truth}


def restore(
    images: ImageDataset | Tensor,
    operator: OperatorRule,
    sampler: Sampler | Reconstruction,
    prior: Prior,
    folder: str | Path | JobContext,
    *,
    num_samples: int = 8,
    seed: int = 0,
    labels: Labels | None = None,
    save_samples: bool = False,
    lpips: LPIPS | None = None,
    interval: float | None = None,
    regions: Regions | None = None,
    conformal: str | Path | None = None,
    antithetic: bool | Literal["auto"] = "auto",
    callbacks: Sequence[Callback] = (),
    figures: bool = True,
    batch_size: int | Literal["auto"] = 32,
    num_workers: int | Literal["auto"] = "auto",
    trainer: pl.Trainer | Trainer | None = None,
    checkpoints: Mapping[str, Path] | None = None,
    resume_anyway: bool = False,
) -> Run:
    """Measure images, restore them with a sampler, and keep the results in a run folder, as `alps restore` does.

    Called again with the same arguments, it does what is left: an image that is finished is not restored again.

    Parameters
    ----------
    images
        Images (N, C, H, W), real in [-1, 1] or complex, or a dataset, which may bring its own measurements.
    operator
        The forward operator of all images, or a `functools.partial` of its class with arguments, of which those that
        are functions of a batch (masks, coil maps) are called with each batch.
    sampler
        Sampler or reconstruction.
    prior
        The prior that the sampler uses, its networks evaluated as `alps_exp.priors.set_execution` says.
    folder
        Folder of the run; it is made if there is none. (The command gives its job, which has a folder and a config.)
    num_samples
        Number of posterior samples of an image.
    seed
        Seed of measurement noise and samples, which are keyed by image id as well.
    labels
        Names in the records. None: the names of the operator's and the sampler's class.
    save_samples
        Whether to keep all samples, besides mean and standard deviation.
    lpips
        Model of the perceptual distance, see `alps_exp.evaluation.load_lpips`; None: not computed.
    interval
        Level of the central intervals of pixels and regions to keep, such as 0.9, which needs 19 samples; None: none.
    regions
        Masks (B, 1, H, W) of regions of interest by name, as functions of a batch: `alps_exp.masks.FileMask(path)`.
    conformal
        The ``conformal.json`` of a run of ``alps calibrate images=data`` with the same sampler, operator and prior: its
        bounds are in records and results. None: there are none.
    antithetic
        Whether samples are drawn in pairs of opposite noise, whose mean is far more exact: see
        `alps_exp.randomness.KeyedNoise`. ``auto``: if there are at least 4, the sampler can, and neither interval nor
        bounds are asked for.
    callbacks
        Functions that the sampler calls with its `State` after every step.
    figures
        Whether to draw the first images of the run; it takes longer than restoring small images.
    batch_size, num_workers
        Images in a batch, and processes that load them. An operator with masks of its own for each image needs all of
        these in one batch. ``auto`` takes as many images as fit, see `auto_batch_size`, and four processes for a GPU.
    trainer
        Lightning trainer with ``inference_mode=False``, since energies need gradients, or a context that yields one.
        None: one for the best device of this machine, without a logger.
    checkpoints
        Files of the prior's weights by role, for the provenance. None: the weights are hashed as they are.
    resume_anyway
        Whether to go on in the folder of a run with other images or weights.

    Returns
    -------
    Run
        The folder, and the records as a data frame. Images that failed are in it with the reason as their ``status``.

    Raises
    ------
    ValueError
        If images, operator, sampler and prior do not fit, the folder holds a run with other arguments, the conformal
        bounds are of others, or the trainer is in inference mode.

    Examples
    --------
    >>> import tempfile, torch
    >>> from alps_exp.operators import Inpainting
    >>> from alps_exp.priors import smooth_gaussian
    >>> from alps_exp.samplers import ALPS
    >>> operator = Inpainting((torch.rand(1, 1, 16, 16) < 0.5).float(), noise_std=0.05)
    >>> arguments = (torch.zeros(2, 1, 16, 16), operator, ALPS(), smooth_gaussian(size=16))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = restore(*arguments, folder, num_samples=2)
    ...     sorted(set(run.records.estimate)), run.folder.load_result("0000").estimates["mmse"].shape
    (['mmse', 'sample'], (1, 16, 16))
    """
    dataset = TensorImages(images) if isinstance(images, Tensor) else images
    if not hasattr(dataset, "image_ids"):
        raise ValueError(f"expected images as a tensor (N, C, H, W) or a dataset, got {type(images).__name__}")
    labels = labels or _class_names(operator, sampler)
    bounds = None if conformal is None else read_conformal(conformal)
    if bounds is not None:
        bounds.check_settings(settings_of(operator, sampler, prior, num_samples))
    settings = RestorationSettings(
        labels, num_samples, seed, save_samples, lpips, interval, regions or {}, antithetic, callbacks, conformal=bounds
    )
    job = folder if isinstance(folder, JobContext) else _job(Path(folder), operator, sampler, prior, settings)
    module = Restoration(prior, operator, sampler, job.folder, settings)
    data = ImageDataModule(test=dataset, batch_size=batch_size, num_workers=num_workers)

    if isinstance(trainer, pl.Trainer):
        if trainer.predict_loop.inference_mode:
            raise ValueError("the trainer is in inference mode, where energies have no gradient: inference_mode=False")
        trainer = nullcontext(trainer)
    run = predict(
        job,
        module,
        data,
        trainer or _own_trainer(job.folder),
        report=partial(_report, figures),
        checkpoints=checkpoints,
        resume_anyway=resume_anyway,
    )
    return run or Run(job.folder, job.folder.records() if job.folder.is_done() else [], restored=False)


def predict(
    job: JobContext,
    module: Restoration,
    data: ImageDataModule,
    trainer: Trainer,
    *,
    report: Callable[[Run, pl.Trainer], list[Path]],
    checkpoints: Mapping[str, Path] | None,
    resume_anyway: bool,
) -> Run | None:
    """Restore the test images in the run folder of a job.

    Parameters
    ----------
    job
        The job with its run folder.
    module, data
        The inference module and the images.
    trainer
        Yields the trainer; it is entered only if there is something to do.
    report
        Writes what a run leaves besides its results, and returns the written files.
    checkpoints, resume_anyway
        As in `restore`.

    Returns
    -------
    Run or None
        None if the run was done already, and in any but the first of several processes.
    """
    assert data.test is not None
    _check_images(data.test, module, checkpoints or {})
    provenance = partial(_provenance, module, data.test, checkpoints)
    if job.is_done(provenance, resume_anyway, data.test.image_ids):
        return None
    job.progress = module.progress
    with trainer as loop:
        if data.is_auto:
            data.batch_size = auto_batch_size(module, data.test, loop.strategy.root_device, loop.world_size)
        # Only the first process locks and records; the others write the images that Lightning gives them.
        if not loop.is_global_zero:
            _restore_all(loop, module, data)
            return None
        with job.folder.lock():
            start = provenance(str(loop.strategy.root_device))
            job.begin(start, resume_anyway)
            log_start(job, loop, start)
            _restore_all(loop, module, data)
            asked = [i for i in data.test.image_ids if not job.is_trial or job.folder.image_path(i).exists()]
            run = Run(job.folder, job.folder.merge_records(asked))
            job.folder.mark_done([path.name for path in report(run, loop)])
    return run


def _restore_all(trainer: pl.Trainer, module: Restoration, data: ImageDataModule) -> None:
    """Restore the images, and wait until what is judged and written beside that is written, however it ends."""
    with module.background:
        trainer.predict(module, data, return_predictions=False)


def _provenance(
    module: Restoration, images: ImageDataset, checkpoints: Mapping[str, Path] | None, device: str = ""
) -> Provenance:
    """Return the provenance of a start on a device."""
    masks, conformal = mask_files(module.operator, dict(module.settings.regions)), module.settings.conformal
    start = collect_provenance(
        seeds={"seed": module.settings.seed},
        device=device,
        checkpoints={**(checkpoints or {}), **({"conformal": conformal.path} if conformal else {})},
        data_hash=index_hash(images, masks),
        num_images=len(images),
    )
    if checkpoints is None and (digest := weights_hash(module.prior)):
        start.checkpoints["prior"] = {"path": type(module.prior).__name__, "sha256": digest}
    return start


def log_result(trainer: pl.Trainer, numbers: Mapping[str, float], name: str, figures: Sequence[Path]) -> None:
    """Send metrics and figures to the logger."""
    if trainer.logger is not None:
        trainer.logger.log_metrics(dict(numbers))
    for figure in figures:
        log_figure(trainer.logger, name, figure)


def _report(figures: bool, run: Run, trainer: pl.Trainer) -> list[Path]:
    """Log the mean metrics of a run, and draw its figure; without a restored image there is nothing to show."""
    if not run.counts()["images"]:
        return []
    counts = {name: float(count) for name, count in run.counts().items()}
    written = [run_figure(run.folder)] if figures else []
    log_result(trainer, counts | run.numbers, "figure", written)
    log_images(trainer.logger, run.folder, run.entries)
    return written


def _check_images(images: ImageDataset, module: Restoration, checkpoints: Mapping[str, Path]) -> None:
    """Raise ValueError if the images do not fit the prior, or two images have the same id."""
    prior = module.prior
    if not isinstance(prior, NullPrior) and images.channels != prior.channels:
        of = f" of {', '.join(map(str, checkpoints.values()))}" if checkpoints else ""
        raise ValueError(
            f"the {module.sampler.prior_kind}{of} works on {prior.channels} channels (complex images have 2), "
            f"the images of this data choice have {images.channels} channels"
        )
    check_unique(images.image_ids)


def _class_names(operator: OperatorRule, sampler: Sampler | Reconstruction) -> Labels:
    name = operator.func.__name__ if isinstance(operator, partial) else type(operator).__name__
    return Labels(task=name, operator=name, sampler=type(sampler).__name__)


def _job(
    folder: Path,
    operator: OperatorRule,
    sampler: Sampler | Reconstruction,
    prior: Prior,
    settings: RestorationSettings,
) -> JobContext:
    """Return the job of a call from Python, whose config are its arguments.

    Raises
    ------
    ValueError
        If the folder has the run of other arguments.
    """
    config = OmegaConf.create(
        {
            "labels": vars(settings.labels),
            "operator": as_settings(operator),
            "sampler": as_settings(sampler),
            "prior": as_settings(prior),
            "num_samples": settings.num_samples,
            "seed": settings.seed,
            "save": "samples" if settings.save_samples else "summary",
            "interval": settings.interval,
            "antithetic": settings.antithetic,
            "conformal": None if settings.conformal is None else str(settings.conformal.path),
            "regions": as_settings(dict(settings.regions)),
            "precision": precision_of(prior),
        }
    )
    job = JobContext(config, RunFolder(folder))
    job.check_same_request("restore")
    return job


@contextmanager
def _own_trainer(folder: RunFolder) -> Iterator[pl.Trainer]:
    yield pl.Trainer(
        devices=1,
        logger=False,
        inference_mode=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=str(folder.path),
    )
