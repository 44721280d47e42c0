"""`alps train`: train an EDM diffusion teacher, or an energy from scratch."""

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
    """Train a teacher, or an energy from scratch, and return the exit status.

    Parameters
    ----------
    job
        The job.
    data
        Training and validation images.
    training
        What is trained, teacher or energy: network, optimizer and noise.
    callbacks
        Callbacks of Lightning by name; the averaging of the weights is one of them, and null leaves one out.
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
        Whether to compile the network of a teacher; the second derivatives of an energy cannot be.
    objective
        What a sweeper optimizes, as validation/mse_sigma_1 (of an energy: validation/energy_sigma_1) with
        hydra/sweeper=optuna.
    trainer, logger, name, resume_anyway, verify, output_root
        As in `alps_exp.cli.restore.restore`.

    Raises
    ------
    ValueError
        If an energy is to be compiled.

    Examples
    --------
    alps train data=folder data.root=my/images name=mine
    alps train experiment=brain64_teacher trainer.max_time={hours:4}
    alps train training=energy data=folder data.root=my/images debug=fast
    """
    torch.manual_seed(seed)  # for the initial weights
    module = instantiate(training)
    if compile and module.kind == "energy":
        raise ValueError("the second derivatives of an energy cannot be compiled: give compile=false")
    return run_training(
        job,
        module,
        instantiate(data),
        trainer,
        logger,
        TrainingOptions(weights, license, ema_decay, checkpoint_minutes, resume_anyway),
        callbacks=callbacks,
        compiled=module.network if compile else None,
        checkpoints=weight_files("start", training.start) | weight_files("energy", training.get("energy")),
    )
