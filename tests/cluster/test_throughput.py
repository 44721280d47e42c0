"""Two processes that share a run are nearly as fast as two runs that know nothing of each other."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

IMAGES = 64
REQUEST = ["restore", "data=folder", "data.batch_size=2", "sampler=alps_teacher", "sampler.schedule.steps=9"]
REQUEST += ["num_samples=2", "logger=none", "figures=false", "trainer.accelerator=cpu"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def throughput(runs):
    """Return images a second of runs at once, while every process of each writes: requests by their `output_root`."""
    commands = [[sys.executable, "-m", "alps_exp", *REQUEST, f"output_root={root}", *more] for root, more in runs]
    processes = [subprocess.Popen(command, env=ONE_THREAD, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait() for process in processes] == [0] * len(runs)
    written = [sorted(file.stat().st_mtime for file in root.rglob("*.h5")) for root, _ in runs]
    start, end = max(times[3] for times in written), min(times[-4] for times in written)
    return sum(start < time <= end for times in written for time in times) / (end - start)


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_two_processes_reach_nine_tenths_of_the_throughput_of_two_runs(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(IMAGES):
        pixels = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{i:03d}.png")
    path, half = f"data.test.path={images}", IMAGES // 2
    ranks = [path, "trainer.devices=2", "trainer.strategy=ddp"]
    shared, alone = [], []
    for repeat in range(3):
        shared.append(throughput([(tmp_path / f"shared{repeat}", ranks)]))
        halves = [path, f"data.test.indices=[0,{half}]"], [path, f"data.test.indices=[{half},{IMAGES}]"]
        alone.append(throughput([(tmp_path / f"alone{repeat}{i}", request) for i, request in enumerate(halves)]))
    print(f"images/s: two processes of a run {shared}, two runs {alone}")
    assert np.median(shared) >= 0.9 * np.median(alone)
