"""Loggers: Weights & Biases, which falls back to offline mode without a key or an answering server, and TensorBoard."""

from __future__ import annotations

import hashlib
import logging
import netrc
import os
import re
import shlex
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning_fabric.loggers.logger import rank_zero_experiment
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from alps_exp.files import write_atomically
from alps_exp.packages import require

log = logging.getLogger(__name__)
# In seconds. If a server does not answer, a job must not lose more than about 10 of them.
PROBE_TIMEOUT, INIT_TIMEOUT, FINISH_TIMEOUT = 3, 4, 8
LONGEST_GROUP = 128  # characters that the server accepts
RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class ResilientWandbLogger(WandbLogger):
    """W&B logger that falls back to offline mode if its server does not answer, and stores its run id in `id_file`."""

    def __init__(self, id_file: Path, **arguments: Any) -> None:
        super().__init__(**arguments, id=_saved_id(id_file))
        self._id_file = id_file

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, created on first use by the first process."""
        if self._experiment is None:
            import wandb

            try:
                run = super().experiment
            except wandb.errors.Error as error:
                log.warning("Weights & Biases does not answer (%s): offline", str(error).partition("\n")[0])
                self._wandb_init["mode"] = "offline"
                run = super().experiment
            write_atomically(self._id_file, run.id.encode())
        return self._experiment


def _saved_id(path: Path) -> str | None:
    """Return the id of the W&B run to continue; None if there is none or, with a warning, if the file is damaged."""
    if not path.exists():
        return None
    text = path.read_text(errors="replace")
    if RUN_ID.fullmatch(text):
        return text
    log.warning("%s holds no id of a Weights & Biases run: starting a new one", path)
    return None


def wandb_logger(project: str, save_dir: str, name: str, group: str | None = None) -> ResilientWandbLogger:
    """Return a W&B logger for one run; without an API key it works offline, for `wandb sync` to upload later.

    Parameters
    ----------
    project, name
        Project and run names.
    save_dir
        Folder of the local files and of the run id, with which a resumed job continues its W&B run.
    group
        Group name; None: the command line of the sweep, or no group outside a sweep.

    Raises
    ------
    ValueError
        If the package wandb is not installed.
    """
    wandb = require("wandb", "logger=wandb", "wandb, or take logger=csv or logger=none")
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    return ResilientWandbLogger(
        Path(save_dir) / "wandb_id",
        project=project,
        name=name,
        group=group or _sweep(),
        save_dir=save_dir,
        mode=_mode(),
        settings=wandb.Settings(init_timeout=INIT_TIMEOUT, finish_timeout=FINISH_TIMEOUT, silent=True, console="off"),
    )


def _mode() -> str:
    wanted = os.environ.get("WANDB_MODE", "online")
    if wanted == "online" and not has_key():
        return "offline"
    if wanted == "online" and not _answers(_server()):
        log.warning("Weights & Biases does not answer at %s: offline", _server())
        return "offline"
    return wanted


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def _answers(url: str) -> bool:
    """Return whether a server responds in time, even if only with an error status."""
    answered = threading.Event()

    def ask() -> None:
        with suppress(OSError, HTTPException):
            try:
                urlopen(url, timeout=PROBE_TIMEOUT).close()
            except HTTPError:
                pass
            answered.set()

    # In a thread, because the timeout of `urlopen` does not cover a name lookup that hangs.
    probe = threading.Thread(target=ask, daemon=True)
    probe.start()
    probe.join(PROBE_TIMEOUT)
    return answered.is_set()


def has_key() -> bool:
    """Return whether there is an API key in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(_server()).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def finish(loggers: Sequence[Logger], succeeded: bool) -> None:
    """Flush the loggers, and finish the W&B run if there is one."""
    for logger in loggers:
        logger.save()
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        import wandb

        wandb.finish(exit_code=0 if succeeded else 1)


def tensorboard_logger(save_dir: str) -> TensorBoardLogger:
    """Return a logger that writes TensorBoard event files to `save_dir`.

    Raises
    ------
    ValueError
        If the package tensorboard is not installed.
    """
    require("tensorboard", "logger=tensorboard", "'alps_exp[tensorboard]'")
    return TensorBoardLogger(save_dir, name="", version="")


def log_figure(logger: Logger | None, name: str, figure: Path) -> None:
    """Send a PNG file to the logger if it accepts images."""
    if isinstance(logger, WandbLogger):
        logger.log_image(name, [str(figure)])
    elif isinstance(logger, TensorBoardLogger):
        pixels = np.asarray(Image.open(figure).convert("RGB"))
        logger.experiment.add_image(name, pixels, dataformats="HWC")


def _sweep() -> str | None:
    """Return a reproducible name of the sweep: its command line, shortened with a hash if necessary."""
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    words = [word for word in sys.argv[1:] if word not in ("--config-name", "-m", "--multirun")]
    name = shlex.join(words)
    if len(name) <= LONGEST_GROUP:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: LONGEST_GROUP - len(digest) - 1]} {digest}"
