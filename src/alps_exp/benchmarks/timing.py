"""Timing: interleaved repetitions, their median and spread, and the machine that they ran on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes
    ----------
    part, name
        The part of the benchmark, and what was measured.
    value, low, high
        Median, and first and third quartile.
    unit
        Unit of the three.
    """

    part: str
    name: str
    value: float
    low: float
    high: float
    unit: str

    @property
    def is_better_larger(self) -> bool:
        """Whether a larger value is the better one."""
        return self.unit in ("images/s", "% of the network", "dB")


def row(part: str, name: str, values: Sequence[float], unit: str) -> Row:
    """Return the row of repeated values."""
    if len(values) < 2:
        return Row(part, name, values[0], values[0], values[0], unit)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Row(part, name, middle, low, high, unit)


def timed(function: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Return what a call returns and the seconds that it takes, all its work on the device included, and no other."""
    _synchronize(device)
    start = time.perf_counter()
    result = function()
    _synchronize(device)
    return result, time.perf_counter() - start


def repeated(function: Callable[[], T], repeats: int) -> list[T]:
    """Return what repeated calls return, after one that does not count."""
    return [function() for _ in range(repeats + 1)][1:]


def interleaved(
    functions: Mapping[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Return the seconds of each function, called in turns, after one turn that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            _, spent = timed(function, device)
            if turn:
                times[name].append(spent)
    return times


def machine(device: torch.device) -> dict[str, str | int]:
    """Return what the numbers depend on: processor, threads, device, and versions.

    Parameters
    ----------
    device
        The device that is measured.
    """
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
