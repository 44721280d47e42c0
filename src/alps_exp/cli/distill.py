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
    """Distill an energy and return the exit status."""
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
