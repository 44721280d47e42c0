"""Loggers: Weights & Biases, which falls back to offline mode without a key or an answering server, and TensorBoard."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import logging
import netrc
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning_fabric.loggers.logger import rank_zero_experiment
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from alps_exp.errors import one_line
from alps_exp.files import write_atomically
from alps_exp.packages import require

if TYPE_CHECKING:
    from wandb import Settings

log = logging.getLogger(__name__)
# In seconds. If a server does not answer, a job must not lose more than about 10 of them.
PROBE_TIMEOUT, INIT_TIMEOUT, FINISH_TIMEOUT = 3, 4, 8
LONGEST_GROUP = 128  # characters that the server accepts
ARGUMENTS_FIRST = {"entity", "group", "id", "mode", "name", "project", "resume", "tags"}
"""Arguments of `wandb.init` that are always given, and win over what its settings say."""
RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class ResilientWandbLogger(WandbLogger):
    """W&B logger that falls back to offline mode if its server does not answer, and stores its run id in `id_file`."""

    def __init__(self, id_file: Path, **arguments: Any) -> None:
        super().__init__(**{"id": _saved_id(id_file)} | arguments)
        if "anonymous" not in arguments:
            self._wandb_init.pop("anonymous", None)  # Lightning always gives it, and W&B warns of it
        self._id_file = id_file

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, created on first use by the first process.

        Raises
        ------
        ValueError
            If W&B refuses an argument.
        """
        if self._experiment is None:
            import wandb

            try:
                run = super().experiment
            except (ValueError, TypeError, wandb.errors.UsageError) as error:
                raise ValueError(f"logger=wandb: {_reason(error)}") from error
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


def wandb_logger(
    project: str,
    save_dir: str,
    name: str,
    group: str | None = None,
    *,
    entity: str | None = None,
    tags: Sequence[str] | None = None,
    mode: Literal["online", "offline", "disabled"] | None = None,
    offline: bool = False,
    settings: Mapping[str, object] | None = None,
    verbose: bool = False,
    **arguments: Any,
) -> ResilientWandbLogger:
    """Return a W&B logger for one run; without an API key it works offline, for `wandb sync` to upload later.

    Parameters
    ----------
    project, name
        Project and run names.
    save_dir
        Folder of the local files and of the run id, with which a resumed job continues its W&B run.
    group
        Group name; None: the command line of the sweep, or no group outside a sweep.
    entity, tags
        User or team, and the tags of the run.
    mode
        None: that of the environment variable WANDB_MODE, or online. It is offline without a key or an answering
        server, whatever is asked.
    offline
        The same as the mode ``offline``.
    settings
        Fields of `wandb.Settings` that replace those that are set here.
    verbose
        Whether W&B writes to the terminal; its log is in the run folder anyway.
    arguments
        Any other argument of Lightning's WandbLogger or of `wandb.init`.

    Raises
    ------
    ValueError
        If the package wandb is not installed, or knows no such argument or setting.
    """
    wandb = require("wandb", "logger=wandb", "wandb, or take logger=csv or logger=none")
    if "dir" in arguments:
        raise ValueError("logger.dir is not used: give logger.save_dir")
    if offline and mode not in (None, "offline"):
        raise ValueError(f"logger.offline=true contradicts logger.mode={mode}: give one of them")
    known = {*_parameters(WandbLogger.__init__), *_parameters(wandb.init)} - {"experiment"}
    _refuse_unknown(arguments, known, "logger.", "Lightning's WandbLogger and wandb.init")
    chosen = _settings({"silent": not verbose, **(settings or {})})
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    return ResilientWandbLogger(
        Path(save_dir) / "wandb_id",
        project=project,
        name=name,
        group=group or _sweep(),
        entity=entity,
        tags=tags,
        save_dir=save_dir,
        mode=_mode("offline" if offline else mode, (settings or {}).get("base_url")),
        settings=chosen,
        **arguments,
    )


def _parameters(function: Callable[..., object]) -> set[str]:
    """Return the names of the arguments that a function lists."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} - {"self"}


def _refuse_unknown(given: Iterable[str], known: Iterable[str], prefix: str, owner: str) -> None:
    """Raise ValueError, with the nearest name, if one is unknown to its owner."""
    for name in sorted(set(given) - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        cure = f"did you mean {prefix}{close[0]}?" if close else f"{owner} have no such argument"
        raise ValueError(f"unknown key {prefix + name!r}: {cure}")


def _settings(given: Mapping[str, object]) -> Settings:
    """Return what W&B is to do, with the time limits of this module unless others are given."""
    import wandb

    if "api_key" in given:
        raise ValueError("logger.settings.api_key would be in the config of every run: set WANDB_API_KEY instead")
    if taken := sorted(ARGUMENTS_FIRST & {name.removeprefix("run_") for name in given}):
        raise ValueError(f"logger.settings cannot hold {taken[0]!r}: give logger.{taken[0]}")
    _refuse_unknown(given, wandb.Settings.model_fields, "logger.settings.", "wandb.Settings")
    ours = {"init_timeout": INIT_TIMEOUT, "finish_timeout": FINISH_TIMEOUT, "console": "off"}
    try:
        return wandb.Settings.model_validate({**ours, **given})
    except ValueError as error:
        raise ValueError(f"logger.settings: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what W&B has against an argument, on one line."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return one_line(error)
    first = error.errors()[0]
    return f"{str(first['loc'][0]).removeprefix('run_')} is {first['input']!r}: {one_line(first['msg'])}"


def _mode(asked: str | None, base_url: object) -> str:
    """Return the mode that is asked, by the request or the environment, unless there is no key or server for it."""
    wanted = asked or os.environ.get("WANDB_MODE", "online")
    server = str(base_url or os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    if wanted == "online" and not has_key(server):
        if asked:
            log.warning("logger.mode=online needs a key of Weights & Biases for %s: offline", server)
        return "offline"
    if wanted == "online" and not _answers(server):
        log.warning("Weights & Biases does not answer at %s: offline", server)
        return "offline"
    return wanted


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


def has_key(server: str) -> bool:
    """Return whether there is an API key for a server, in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(server).hostname or ""
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


def tensorboard_logger(save_dir: str, name: str = "", version: int | str = "", **arguments: Any) -> TensorBoardLogger:
    """Return a logger that writes TensorBoard event files to `save_dir`.

    Parameters
    ----------
    save_dir, name, version
        The files are in SAVE_DIR/NAME/VERSION.
    arguments
        Any other argument of Lightning's TensorBoardLogger or of TensorBoard's SummaryWriter.

    Raises
    ------
    ValueError
        If the package tensorboard is not installed, or knows no such argument.
    """
    require("tensorboard", "logger=tensorboard", "'alps_exp[tensorboard]'")
    from torch.utils.tensorboard import SummaryWriter

    # The writer takes no folder besides Lightning's, and a comment only in the name of a folder of its own.
    known = {*_parameters(TensorBoardLogger.__init__), *_parameters(SummaryWriter.__init__)} - {"log_dir", "comment"}
    _refuse_unknown(arguments, known, "logger.", "Lightning's TensorBoardLogger and TensorBoard's SummaryWriter")
    return TensorBoardLogger(save_dir, name=name, version=version, **arguments)


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
