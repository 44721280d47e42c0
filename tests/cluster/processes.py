"""Command lines in processes that start at once, forked from one that has imported everything."""

import builtins
import multiprocessing
import os
import pkgutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from alps_exp.mri import preparation

MODULES = [f"alps_exp.cli.{name}" for name in ("restore", "calibrate", "train", "distill", "prepare", "main")]


def start(
    log: Path,
    *arguments: str,
    killed_at: str | None = None,
    by: signal.Signals = signal.SIGKILL,
    file_calls: tuple[Path, int | None] | None = None,
) -> multiprocessing.Process:
    """Start `alps` on one thread; what it prints goes to the end of `log`.

    Where it calls the function of the dotted name `killed_at`, it gets the signal `by`. With `file_calls` (root,
    number), it is killed at that call that writes below root, see `FileCalls`; if number is None, their number goes to
    ``root.calls``.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    process = context.Process(target=_run, args=(log, arguments, killed_at, by, file_calls))
    process.start()
    return process


class FileCalls:
    """Counts the calls of open, write, fsync and replace for files below a folder, and kills the process at one.

    A write that is killed has written half of its bytes.
    """

    def __init__(self, root: Path, last: int | None) -> None:
        self.root, self.last, self.count = os.path.abspath(root), last, 0
        self.inner = {"open": builtins.open, "fsync": os.fsync, "replace": os.replace}
        builtins.open, os.fsync, os.replace = self.open, self.fsync, self.replace

    def is_ours(self, path) -> bool:
        return os.path.abspath(path).startswith(self.root)

    def note(self) -> bool:
        """Count a call; return whether it is the last one."""
        self.count += 1
        if self.last is None:
            with self.inner["open"](f"{self.root}.calls", "w") as file:
                file.write(str(self.count))
        return self.count == self.last

    def open(self, file, mode="r", *arguments, **options):
        if isinstance(file, int) or not self.is_ours(file) or not set(mode) & set("wax+"):
            return self.inner["open"](file, mode, *arguments, **options)
        if self.note():
            die()
        return Counted(self.inner["open"](file, mode, *arguments, **options), self)

    def fsync(self, descriptor):
        if self.is_ours(os.readlink(f"/proc/self/fd/{descriptor}")) and self.note():
            die()
        return self.inner["fsync"](descriptor)

    def replace(self, source, target):
        if self.is_ours(target) and self.note():
            die()
        return self.inner["replace"](source, target)


class Counted:
    """An open file whose writes are counted."""

    def __init__(self, file, calls):
        self.file, self.calls = file, calls

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        self.file.__enter__()
        return self

    def __exit__(self, *error):
        return self.file.__exit__(*error)

    def write(self, content):
        if self.calls.note():
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            die()
        return self.file.write(content)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _run(
    log: Path,
    arguments: tuple[str, ...],
    killed_at: str | None,
    by: signal.Signals,
    file_calls: tuple[Path, int | None] | None,
) -> None:
    from alps_exp.cli.main import main

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what runs in the background
    with open(log, "a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    if killed_at is not None:
        path, _, name = killed_at.rpartition(".")
        owner = pkgutil.resolve_name(path)
        function = getattr(owner, name)

        def signalled(*arguments, **options):
            os.kill(os.getpid(), by)
            return function(*arguments, **options)

        setattr(owner, name, signalled)
    if file_calls is not None:
        FileCalls(*file_calls)
        preparation._workers = lambda count: ThreadPoolExecutor(1)  # in this process, so that its calls count
    sys.argv = ["alps", *arguments]
    main()
