"""Command lines in processes that start at once, forked from one that has imported everything."""

import multiprocessing
import os
import sys
from pathlib import Path

import torch

MODULES = ["alps_exp.commands.restore", "alps_exp.commands.distill", "alps_exp.commands.main"]


def start(log: Path, *arguments: str) -> multiprocessing.Process:
    """Start `alps` on one thread; what it prints goes to the end of `log`."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    process = context.Process(target=_run, args=(log, arguments))
    process.start()
    return process


def _run(log: Path, arguments: tuple[str, ...]) -> None:
    from alps_exp.commands.main import main

    torch.set_num_threads(1)
    with open(log, "a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["alps", *arguments]
    main()
