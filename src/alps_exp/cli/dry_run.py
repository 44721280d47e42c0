"""`dry_run=true`: what a command would do, and how far it is already."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from alps_exp.runs import RunFolder

KEYS = {
    "user": "Keys of your own, as +user.KEY=VALUE, for ${user.KEY}",
    "dry_run": "Whether to show the jobs and how far each is, and run none",
    "verbose": "Whether to show what Lightning, W&B and other packages say",
}
"""Keys of every verb, which no verb sees, and what each is for."""


def take_dry_run(request: dict[str, object]) -> bool:
    """Remove the `KEYS` of every verb from a request, and return whether it is a dry run.

    Raises
    ------
    ValueError
        If dry_run or verbose is neither true nor false, or `user` has no keys of its own.
    """
    dry_run, verbose, user = request.pop("dry_run", False), request.pop("verbose", False), request.pop("user", {})
    for name, value in {"dry_run": dry_run, "verbose": verbose}.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}, expected true or false")
    if not isinstance(user, dict):
        raise ValueError(f"user is {user!r}, expected settings, as +user.KEY=VALUE")
    return bool(dry_run)


def preview(folder: RunFolder, request: Mapping[str, object], number: int = 0, count: int = 1) -> str:
    """Return a line on a job: its place in the sweep, its folder, and how far it is."""
    path = os.path.relpath(str(request.get("output") or request.get("path") or request.get("run") or folder.path))
    return f"[{number + 1}/{count}] {path}: {RunFolder(path, folder.verify).progress()}"


def remove_traces(folder: RunFolder, root: Path) -> None:
    """Remove the log, and the folders below `root`, that Hydra has made for a job that leaves nothing else."""
    if not folder.path.is_dir():
        return
    if all(path.suffix == ".log" for path in folder.path.iterdir()):
        for path in folder.path.iterdir():
            path.unlink()
    for path in (folder.path, *folder.path.parents):
        if path in (Path.cwd(), root.absolute()) or any(path.iterdir()):
            break
        path.rmdir()
