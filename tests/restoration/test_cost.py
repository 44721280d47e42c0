"""What a batch costs is measured in MiB and seconds of the right size."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.restoration.cost import CostMeter


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of now is read from /proc")
def test_peak_memory_on_a_cpu_is_that_of_the_process_and_stays():
    meter = CostMeter(torch.device("cpu"))
    before = meter.peak_memory_mib()
    now = int(Path("/proc/self/statm").read_text().split()[1]) / 256  # pages of 4 KiB
    ballast = np.ones(round((before - now + 200) * 2**20), np.uint8)
    held = meter.peak_memory_mib()
    del ballast
    assert held - before == pytest.approx(200, abs=20)
    assert meter.peak_memory_mib() == held


def test_seconds_are_those_since_the_beginning():
    meter = CostMeter(torch.device("cpu"))
    time.sleep(0.05)
    assert 0.05 <= meter.seconds() < 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_peak_memory_on_a_gpu_is_that_of_the_tensors_since_the_beginning():
    device = torch.device("cuda")
    torch.ones(100 * 2**18, device=device)
    kept = torch.cuda.memory_allocated() / 2**20
    meter = CostMeter(device)
    torch.ones(50 * 2**18, device=device)
    assert meter.peak_memory_mib() - kept == pytest.approx(50, abs=2)
