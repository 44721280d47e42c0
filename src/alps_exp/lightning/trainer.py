"""The Lightning trainer and logger of a job."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning_fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import DeviceStatsMonitor, LearningRateMonitor, WeightAveraging

from alps_exp.checks import MOST_PROCESSES
from alps_exp.lightning.checkpoint_files import CheckpointFiles
from alps_exp.lightning.checkpointing import WholeCheckpoints
from alps_exp.lightning.loggers import finish
from alps_exp.lightning.profiling import reports_of
from alps_exp.lightning.progress import JobProgress
from alps_exp.lightning.wandb_run import log_used_weights
from alps_exp.runs import Provenance
from alps_exp.runs.job import JobContext

PR_SET_PDEATHSIG = 1
NEED_A_LOGGER = (DeviceStatsMonitor, LearningRateMonitor)


@contextmanager
def open_trainer(
    job: JobContext,
    config: DictConfig,
    logger: DictConfig | None,
    callbacks: Sequence[pl.Callback] = (),
    last: Sequence[pl.Callback] = (),
) -> Iterator[pl.Trainer]:
    """Yield the trainer with its logger, which is finished on exit, so that no two jobs share one.

    The `callbacks` come before those of the config, and the `last` ones after them. The trainer has no time limit of
    its own, because `Budget` keeps it. Inference mode is off, because energies need gradients even when nothing is
    trained. So is TF32, which cuDNN's convolutions would take for float32.

    Raises
    ------
    ValueError
        In a local sweep on several devices; if there are more processes than this machine can run, or nobody starts
        those of other nodes; if several callbacks average the weights, or one has no logger to write to.
    """
    _end_with_the_first_process()
    succeeded = False
    _check_processes(config)
    torch.backends.cudnn.allow_tf32 = False
    trainer = instantiate(
        config,
        logger=instantiate(logger) if logger else False,
        default_root_dir=str(job.folder.path),
        max_time=None,
        inference_mode=False,
        plugins=_plugins(job),
    )
    _refuse_nested_sweeps(trainer)
    _refuse_waiting_for_nobody(trainer)
    trainer.callbacks = [*callbacks, *trainer.callbacks, *last, JobProgress(job)]
    _check_callbacks(trainer.callbacks, has_logger=bool(trainer.loggers))
    try:
        yield trainer
        succeeded = not trainer.interrupted  # a training that diverges is interrupted
    finally:
        finish(trainer.loggers, succeeded)
        for report in reports_of(trainer.profiler):
            print(f"profile: {report}")


def _check_callbacks(callbacks: Sequence[pl.Callback], has_logger: bool) -> None:
    """Raise ValueError if several callbacks average the weights, or one has no logger to write to."""
    averaging = [type(one).__name__ for one in callbacks if isinstance(one, WeightAveraging)]
    if len(averaging) > 1:
        raise ValueError(
            f"{' and '.join(averaging)} both average the weights: change callbacks.ema, or give callbacks.ema=null"
        )
    for one in callbacks:
        if isinstance(one, NEED_A_LOGGER) and not has_logger:
            raise ValueError(f"{type(one).__name__} has no logger to write to: give logger=csv, or leave it out")


def _end_with_the_first_process() -> None:
    """Make a process started by Lightning die with its parent, so that it cannot outlive the lock of the run."""
    if "LOCAL_RANK" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _plugins(job: JobContext) -> list[CheckpointIO | ClusterEnvironment]:
    """Return plugins that replace Lightning's own. Requeuing of SLURM jobs is left to the launcher."""
    in_slurm = SLURMEnvironment.detect()
    return [
        WholeCheckpoints(CheckpointFiles(job.folder.path)),
        *([SLURMEnvironment(auto_requeue=False)] if in_slurm else []),
    ]


def log_start(job: JobContext, trainer: pl.Trainer, start: Provenance) -> None:
    """Send the resolved config, and which weights the run uses, to the logger."""
    if trainer.logger is not None:
        resolved = OmegaConf.to_container(job.config, resolve=True)
        trainer.logger.log_hyperparams(cast("dict[str, object]", resolved))
    log_used_weights(trainer.logger, start.checkpoints)


def _check_processes(config: DictConfig) -> None:
    """Raise ValueError for a number of processes on the CPU that this machine cannot run, before Lightning tries."""
    devices = config.get("devices")
    if isinstance(devices, int) and devices > MOST_PROCESSES:
        raise ValueError(f"trainer.devices is {devices:,}, expected at most {MOST_PROCESSES}")


def _refuse_waiting_for_nobody(trainer: pl.Trainer) -> None:
    """Raise ValueError for several nodes where neither a cluster nor the environment says which one this is."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    alone = isinstance(environment, LightningEnvironment) and not {"NODE_RANK", "GROUP_RANK"} & os.environ.keys()
    if trainer.num_nodes > 1 and alone:
        raise ValueError(
            f"trainer.num_nodes is {trainer.num_nodes}, and nobody starts the others: give hydra/launcher=slurm (with"
            " -m), or set MASTER_ADDR, MASTER_PORT and NODE_RANK on each node"
        )


def _refuse_nested_sweeps(trainer: pl.Trainer) -> None:
    environment = getattr(trainer.strategy, "cluster_environment", None)
    started_here = environment is not None and not environment.creates_processes_externally
    if HydraConfig.get().mode == RunMode.MULTIRUN and trainer.world_size > 1 and started_here:
        raise ValueError(
            f"a local sweep (-m) runs on one device, got {trainer.world_size}: each process would start its own sweep;"
            " give trainer.devices=1, run one job at a time, or use a cluster launcher"
        )
