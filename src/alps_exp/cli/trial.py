"""Trials: runs of which Lightning is told to do only a part, and which therefore leave no result."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from alps_exp.cli.dry_run import remove_traces
from alps_exp.runs import RunFolder
from alps_exp.runs.job import JobContext

WHOLE = (None, False, 0, 1.0)  # values of the settings below that leave nothing out


@contextmanager
def folder_of_trial(job: JobContext) -> Iterator[None]:
    """Let a job that is a trial work in a folder that is removed at its end, and say so."""
    if not (reason := _partial_setting(job.config)):
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
        remove_traces(kept)


def _partial_setting(config: DictConfig) -> str | None:
    """Return the first setting of the trainer that leaves a part out."""
    trainer = config.get("trainer") or {}
    names = ["fast_dev_run", "overfit_batches", *(name for name in trainer if str(name).startswith("limit_"))]
    for name in names:
        value = trainer.get(name)
        if not any(value is whole or (value == whole and type(value) is type(whole)) for whole in WHOLE):
            return f"trainer.{name}={value}"
    return None
