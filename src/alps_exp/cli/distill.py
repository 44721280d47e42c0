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
    teacher
        Denoiser that the energy is distilled from.
    distillation
        How it is distilled: optimizer and noise.
    compile
        Whether to compile the teacher; the second derivatives of an energy cannot be.
    objective
        What a sweeper optimizes, as validation/gap with hydra/sweeper=optuna.
    trainer, logger, name, resume_anyway, verify, output_root
        As in `alps_exp.cli.restore.restore`.
    data, callbacks, seed, weights, license, ema_decay, checkpoint_minutes
        As in `alps_exp.cli.train.train`.

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
