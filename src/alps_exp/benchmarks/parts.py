"""The parts of the benchmark by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from alps_exp.benchmarks.loading import loading
from alps_exp.benchmarks.sampling import steps, throughput, to_psnr
from alps_exp.benchmarks.solves import solves
from alps_exp.benchmarks.starting import starting
from alps_exp.benchmarks.timing import Row
from alps_exp.benchmarks.training import training

PARTS: dict[str, Callable[[int, torch.device], Iterator[Row]]] = {
    "steps": steps,
    "throughput": throughput,
    "solves": solves,
    "training": training,
    "loading": loading,
    "starting": starting,
    "to_psnr": to_psnr,
}
"""What each part measures is its docstring; it takes the number of repetitions and the device."""
