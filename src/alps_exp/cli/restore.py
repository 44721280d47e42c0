"""`alps restore`: measure the test images through an operator and restore them with a sampler."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.cli.finished import is_finished
from alps_exp.cli.inference import choose_prior
from alps_exp.cli.summary import in_full, on_one_line
from alps_exp.priors import Precision
from alps_exp.runs.job import JobContext

if TYPE_CHECKING:
    from alps_exp.lightning import ImageDataModule
    from alps_exp.restoration import Run

RGB = 3  # channels, for which LPIPS is defined
MASK = {"_target_": "alps_exp.masks.FileMask"}


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
    antithetic: bool | Literal["auto"] = "auto",
    seed: int,
    save: Literal["summary", "samples"],
    lpips: str | None,
    interval: float | None,
    regions: DictConfig | None,
    conformal: str | None = None,
    figures: bool,
    objective: str | None = None,
    precision: Precision = "float32",
    compile: bool = False,
    resume_anyway: bool,
    verify: bool = False,
    callbacks: DictConfig | None = None,
    output_root: str,
) -> int:
    """Restore the test images and return the exit status: 1 if images failed.

    Parameters
    ----------
    job
        The job.
    data
        The images.
    operator
        The forward operator that measures them.
    sampler
        Sampler, MAP estimator or reconstruction.
    teacher
        Denoiser, for the samplers that use one.
    energy
        Energy, for the samplers that use one.
    trainer
        Lightning's trainer: device, precision, ...
    logger
        Where metrics are logged; null: nowhere.
    name
        Name of the run.
    labels
        Names of task, operator and sampler in the records.
    num_samples
        Posterior samples of each image.
    antithetic
        Samples in pairs of opposite noise: true, false or auto.
    seed
        Seed of measurement noise and samples.
    save
        summary: mean and standard deviation; samples: all of them too.
    lpips
        AlexNet of torchvision (.pth); null: that of PyTorch's hub, if any.
    interval
        Level of intervals to keep; 0.9 needs 19 samples.
    regions
        Masks of regions of interest, as {tumor:tumor.npy}.
    conformal
        Bounds that hold: conformal.json of alps calibrate; null: none.
    objective
        What a sweeper optimizes, as mmse/psnr with hydra/sweeper=optuna.
    callbacks
        Callbacks by name: Lightning's, or of a sampler's steps.
    precision
        Precision of the network alone: float32 or bf16.
    compile
        Whether to compile the network, for faster steps on a GPU.
    figures
        Whether to draw the first images of the run.
    resume_anyway
        Whether to go on in a run of other weights or data.
    verify
        Whether to hash all files of a finished run. Otherwise only those of another size or time are.
    output_root
        Folder of the runs; this one is VERB/NAME/HASH in it.

    Examples
    --------
    alps restore operator=gaussian_blur sampler=map
    alps restore -m operator=inpaint_random,motion_blur sampler=alps,daps seed=0,1 logger=none
    alps restore data=folder data.test.path=my/photos operator=super_resolution num_samples=16
    """
    chosen_sampler, rule = instantiate(sampler), instantiate(operator)
    masks = {str(name): instantiate(MASK, path=path) for name, path in (regions or {}).items()}
    prior = choose_prior(chosen_sampler, teacher, energy)

    def files() -> dict[str, Path]:
        return prior.checkpoints | ({"conformal": Path(conformal)} if conformal else {})

    if is_finished(job, data, (rule, masks), files, seed, resume_anyway):
        return 0

    # Imported only now: a finished job has answered long before Lightning and torchmetrics are loaded.
    from alps_exp import restoration
    from alps_exp.cli.callbacks import instantiate_callbacks
    from alps_exp.evaluation import load_lpips
    from alps_exp.lightning.trainer import open_trainer

    of_trainer, of_steps = instantiate_callbacks(callbacks)
    images: ImageDataModule = instantiate(data)
    images.setup("predict")
    assert images.test is not None
    run = restoration.restore(
        images.test,
        rule,
        chosen_sampler,
        prior.load(precision, compile),
        job,
        num_samples=num_samples,
        seed=seed,
        labels=instantiate(labels),
        save_samples=save == "samples",
        lpips=load_lpips(lpips) if lpips or images.test.channels == RGB else None,
        interval=interval,
        antithetic=antithetic,
        regions=masks,
        conformal=conformal,
        figures=figures,
        batch_size="auto" if images.is_auto else images.batch_size,
        num_workers=images.num_workers,
        trainer=open_trainer(job, trainer, logger, of_trainer),
        callbacks=[*of_steps.values()],
        checkpoints=prior.checkpoints,
        resume_anyway=resume_anyway,
    )
    return report(run, job.place) if run.restored else 0


def report(run: Run, place: str = "") -> int:
    """Print the mean metrics of a run, on one line if it has a place in a sweep, and its failed images.

    Returns the exit status.
    """
    if restored := run.counts()["images"]:
        print(f"{place}{on_one_line(run)}" if place else in_full(run))
    for sentence, count in run.warnings().items():
        print(f"warning: {count} of {restored} images: {sentence}", file=sys.stderr)
    return print_failed(run.failed)


def print_failed(failed: dict[str, str]) -> int:
    """Print the images that failed, and return the exit status."""
    for image_id, reason in failed.items():
        print(f"failed: {image_id}: {reason}", file=sys.stderr)
    return 1 if failed else 0
