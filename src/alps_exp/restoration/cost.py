"""What the restoration of a batch costs: wall time, and the most memory at a time."""

from __future__ import annotations

import resource
import sys
import time

import torch

MIB = 2**20
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of `ru_maxrss`


class CostMeter:
    """Measures the work on a device from here on.

    Parameters
    ----------
    device
        The device of the work.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._wait()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Return the wall time of the work, all that is pending on the device included."""
        self._wait()
        return time.perf_counter() - self._start

    def peak_memory_mib(self) -> float:
        """Return the most memory at a time: of tensors on a GPU; on a CPU of the whole process since its start."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / MIB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / MIB

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
