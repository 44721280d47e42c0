"""What a command costs before and after its work: its start, a tiny job, and jobs that are done already."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from alps_exp.benchmarks.timing import Row, row, timed

TINY = ["restore", "data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12"]
TINY += ["operator=denoise", "logger=none", "figures=false", "sampler.schedule.steps=2", "num_samples=2"]
FINISHED_JOBS = 16


def starting(repeats: int, device: torch.device) -> Iterator[Row]:
    """Yield the seconds of commands, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        tiny = [*TINY, f"output_root={folder}"]
        sweep = [*tiny, "-m", f"seed={','.join(map(str, range(FINISHED_JOBS)))}"]
        _alps(sweep)
        commands = {
            "alps --help": ["--help"],
            "a tiny job": [*tiny, "seed=100"],
            "a finished job": [*tiny, "seed=0"],
            f"{FINISHED_JOBS} finished jobs of a sweep": sweep,
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(repeats):
            commands["a tiny job"][-1] = f"seed={100 + turn}"
            for name, words in commands.items():
                times[name].append(timed(partial(_alps, words), device)[1])
        for name, spent in times.items():
            yield row("starting", name, spent, "s")


def _alps(words: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "alps_exp", *words], check=True, capture_output=True)
