"""Command lines in processes that start at once, forked from one that has imported everything."""

import multiprocessing
import os
import pkgutil
import signal
import sys
from pathlib import Path

import torch

MODULES = [f"alps_exp.cli.{name}" for name in ("restore", "train", "distill", "main")]


def start(
    log: Path, *arguments: str, killed_at: str | None = None, by: signal.Signals = signal.SIGKILL
) -> multiprocessing.Process:
    """Start `alps` on one thread; what it prints goes to the end of `log`.

    Where it calls the function of the dotted name `killed_at`, it gets the signal `by`.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    process = context.Process(target=_run, args=(log, arguments, killed_at, by))
    process.start()
    return process


def _run(log: Path, arguments: tuple[str, ...], killed_at: str | None, by: signal.Signals) -> None:
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
    sys.argv = ["alps", *arguments]
    main()
