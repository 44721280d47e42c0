"""`alps distill`: distill a teacher into a multi-scale energy."""

from __future__ import annotations

from typing import Literal

from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.cli.inference import weight_files
from alps_exp.cli.training import TrainingOptions, run_training
from alps_exp.runs.job import JobContext


def distill(
    job: JobContext,
    /,
    *,
    data: DictConfig,
    teacher: DictConfig,
    distillation: DictConfig,
    trainer: DictConfig,
    logger: DictConfig | None,
    name: str,
    seed: int,
    weights: Literal["float32", "float16"],
    license: str,
    ema_decay: float,
    checkpoint_minutes: float,
    compile: bool,
    objective: str | None = None,
    resume_anyway: bool,
    verify: bool = False,
    callbacks: DictConfig | None = None,
    output_root: str,
) -> int:
    """Distill an energy and return the exit status.

    Parameters
    ----------
    job
        The job.
    data
        Training and validation images.
    teacher
        Denoiser that the energy is distilled from.
    distillation
        How it is distilled: optimizer and noise.
    trainer
        Lightning's trainer: device, precision, ...
    logger
        Where metrics are logged; null: nowhere.
    callbacks
        Callbacks of Lightning by name; the averaging of the weights is one of them, and null leaves one out.
    name
        Name of the run.
    seed
        Seed of weights, noise and order of the images.
    weights
        Precision of the weights that are left: float32 or float16.
    license
        License of the weights, for their card.
    ema_decay
        Decay of the average of the weights per step, below 1.
    checkpoint_minutes
        Minutes between checkpoints; one is written on SIGUSR1 and SIGUSR2 too.
    compile
        Whether to compile the teacher; the second derivatives of an energy cannot be.
    objective
        What a sweeper optimizes, as validation/gap with hydra/sweeper=optuna.
    resume_anyway
        Whether to go on in a run of other weights or data.
    verify
        Whether to hash all files of a finished run. Otherwise only those of another size or time are.
    output_root
        Folder of the runs; this one is VERB/NAME/HASH in it.

    Examples
    --------
    alps distill data=brain teacher=brain64
    alps distill data=folder data.root=my/images teacher=file teacher.name=teacher.safetensors
    alps distill data=brain teacher=brain64 callbacks=early_stopping trainer.val_check_interval=500
    """
    module = instantiate(distillation)
    checkpoints = weight_files("teacher", teacher) | weight_files("start", distillation.start)
    return run_training(
        job,
        module,
        instantiate(data),
        trainer,
        logger,
        TrainingOptions(weights, license, ema_decay, checkpoint_minutes, resume_anyway),
        callbacks=callbacks,
        compiled=module.teacher if compile else None,
        checkpoints=checkpoints,
    )
