"""Trials: runs of which Lightning is told to do only a part, and which therefore leave no result."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alps_exp.cli.dry_run import remove_traces
from alps_exp.runs import RunFolder
from alps_exp.runs.job import JobContext

WHOLE = (None, False, 1.0)  # values of Lightning's limits that leave nothing out
NONE = (0, 0.0)  # and further ones of settings that count what is done


@contextmanager
def folder_of_trial(job: JobContext, root: Path) -> Iterator[None]:
    """Let a job that is a trial work in a folder that is removed at its end, and say so."""
    if not (reason := partial_setting(job.config)):
        yield
        return
    print(f"alps: {reason} leaves a part out, so this is a trial: nothing of it is kept", file=sys.stderr)
    job.is_trial = True
    kept = job.folder
    try:
        with tempfile.TemporaryDirectory(prefix="alps-trial-") as folder:
            job.folder = RunFolder(Path(folder) / kept.path.name)
            yield
    finally:
        job.folder = kept
        remove_traces(kept, root)


def partial_setting(config: Mapping[str, Any] | DictConfig) -> str | None:
    """Return the first setting of the trainer that leaves a part out."""
    trainer = config.get("trainer") or {}
    names = ["fast_dev_run", "overfit_batches", *(name for name in trainer if str(name).startswith("limit_"))]
    for name in names:
        value = trainer.get(name)
        whole = WHOLE if str(name).startswith("limit_") else (*WHOLE, *NONE)
        if not any(value == one and type(value) is type(one) for one in whole):
            return f"trainer.{name}={value}"
    return None
