"""Weights & Biases as a Lightning logger: online with a key, offline without."""

from __future__ import annotations

from pathlib import Path

import wandb
from pytorch_lightning.loggers import WandbLogger

INIT_TIMEOUT = 10


def wandb_logger(project: str, save_dir: str, name: str, group: str | None = None) -> WandbLogger:
    """Return a logger for one run; without an API key it works offline, and `wandb sync` uploads later.

    Parameters
    ----------
    project, name, group
        Project, run and group names.
    save_dir
        Folder of the local files.
    """
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    return WandbLogger(
        project=project,
        name=name,
        group=group,
        save_dir=save_dir,
        offline=wandb.api.api_key is None,
        settings=wandb.Settings(init_timeout=INIT_TIMEOUT, silent=True, console="off"),
    )
