"""Weights & Biases as a Lightning logger: online with a key and a server that answers, offline without."""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment

log = logging.getLogger(__name__)
INIT_TIMEOUT = 6  # seconds


class ResilientWandbLogger(WandbLogger):
    """A logger that works offline where its server does not answer, and keeps its run's id in `id_file`."""

    def __init__(self, id_file: Path, **arguments: Any) -> None:
        super().__init__(**arguments, id=id_file.read_text() if id_file.exists() else None)
        self._id_file = id_file

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run, made on first use by the first process."""
        if self._experiment is None:
            try:
                run = super().experiment
            except wandb.errors.Error as error:
                log.warning("Weights & Biases does not answer (%s): offline", str(error).partition("\n")[0])
                self._wandb_init["mode"] = "offline"
                run = super().experiment
            self._id_file.parent.mkdir(parents=True, exist_ok=True)
            self._id_file.write_text(run.id)
        return self._experiment


def wandb_logger(project: str, save_dir: str, name: str, group: str | None = None) -> ResilientWandbLogger:
    """Return a logger for one run; without an API key it works offline, and `wandb sync` uploads later.

    Parameters
    ----------
    project, name
        Project and run names.
    save_dir
        Folder of the local files and of the run's id, by which a resumed job goes on with its run.
    group
        Group name; None takes the folder of the sweep, or no group outside of one.
    """
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    return ResilientWandbLogger(
        Path(save_dir) / "wandb_id",
        project=project,
        name=name,
        group=group or _sweep(),
        save_dir=save_dir,
        mode=os.environ.get("WANDB_MODE", "online") if has_key() else "offline",
        settings=wandb.Settings(init_timeout=INIT_TIMEOUT, silent=True, console="off"),
    )


def has_key() -> bool:
    """Tell whether there is an API key, in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def finish(loggers: Sequence[Logger], succeeded: bool) -> None:
    """Save what the loggers hold, and end the run of Weights & Biases, if there is one among them."""
    for logger in loggers:
        logger.save()
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        wandb.finish(exit_code=0 if succeeded else 1)


def _sweep() -> str | None:
    hydra = HydraConfig.get()
    return hydra.sweep.dir if hydra.mode == RunMode.MULTIRUN else None
