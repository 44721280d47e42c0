"""A run of many images: its memory does not grow, its records are complete, and its table is quick."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alps_exp.runs import RunFolder

COUNT = 10_000
REQUEST = ["data=prior", f"data.test.count={COUNT}", "data.batch_size=50", "energy=gaussian", "energy.size=12"]
REQUEST += ["teacher=gaussian", "teacher.size=12", "num_samples=1", "sampler.schedule.steps=2", "operator=denoise"]
REQUEST += ["logger=none", "figures=false", "trainer.accelerator=cpu"]


def resident_mib(process):
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    return int(found[1]) / 1024 if found else None


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_ten_thousand_images_take_the_memory_of_a_thousand(tmp_path):
    alps = [sys.executable, "-m", "alps_exp"]
    restore = subprocess.Popen([*alps, "restore", *REQUEST, f"output_root={tmp_path}"], stdout=subprocess.DEVNULL)
    memory = {}
    while restore.poll() is None:
        count = sum(1 for _ in tmp_path.rglob("*.h5"))
        if count and (now := resident_mib(restore)):
            memory[count] = now
        time.sleep(1)
    assert restore.returncode == 0
    early = max(now for count, now in memory.items() if count <= COUNT // 5)
    late = max(now for count, now in memory.items() if COUNT // 2 < count < COUNT)
    (done,) = tmp_path.rglob("DONE")
    records = RunFolder(done.parent).records()
    assert [r.image_id for r in records if r.estimate == "mmse"] == [f"prior{i:04d}" for i in range(COUNT)]
    assert all(r.status == "ok" for r in records)

    table = [*alps, "table", f"runs={tmp_path / 'restore'}", f"output={tmp_path / 'table'}"]
    before = os.times()
    subprocess.run(table, check=True, capture_output=True)
    after = os.times()  # of the processor, which a busy machine does not change
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{early:.0f} MiB in the first fifth, {late:.0f} MiB in the second half; table in {seconds:.1f} s")
    assert late < 1.1 * early
    assert seconds < 10


@pytest.mark.slow
def test_a_thousand_images_take_the_memory_of_ten(tmp_path):
    peaks = {}
    for count in (10, 1000):
        root = tmp_path / str(count)
        request = [*REQUEST, f"data.test.count={count}", "data.batch_size=10", f"output_root={root}"]
        subprocess.run([sys.executable, "-m", "alps_exp", "restore", *request], check=True, stdout=subprocess.DEVNULL)
        (done,) = root.rglob("DONE")
        peaks[count] = max(record.peak_memory_mib for record in RunFolder(done.parent).records())
    print(f"peak memory in MiB by number of images: {peaks}")
    assert peaks[1000] < 1.05 * peaks[10]
