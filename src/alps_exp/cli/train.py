"""`alps train`: train an EDM diffusion teacher."""

from __future__ import annotations

from typing import Literal

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.cli.inference import weight_files
from alps_exp.cli.training import TrainingOptions, run_training
from alps_exp.runs.job import JobContext


def train(
    job: JobContext,
    /,
    *,
    data: DictConfig,
    training: DictConfig,
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
    """Train a teacher and return the exit status."""
    torch.manual_seed(seed)  # for the initial weights
    module = instantiate(training)
    return run_training(
        job,
        module,
        instantiate(data),
        trainer,
        logger,
        TrainingOptions(weights, license, ema_decay, checkpoint_minutes, resume_anyway),
        callbacks=callbacks,
        compiled=module.network if compile else None,
        checkpoints=weight_files("start", training.start) | weight_files("energy", training.energy),
    )
