"""Two local processes: many images are divided, of one image the samples are; the records are those of one process."""

import json
import subprocess
import sys

import pytest

REQUEST = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=3"]
REQUEST += ["logger=none", "trainer.accelerator=cpu", "sampler.schedule.steps=3"]


def records(folder, *arguments):
    command = [sys.executable, "-m", "alps_exp", "restore", *REQUEST, f"output_root={folder}", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.rglob("records.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 1])
def test_two_processes_give_the_records_of_one(tmp_path, count):
    images = f"data.test.count={count}"
    one = records(tmp_path / "one", images)
    two = records(tmp_path / "two", images, "trainer.devices=2", "trainer.strategy=ddp")
    for name in ("image_id", "estimate", "sample_index", "nfe_forward", "nfe_vjp", "status"):
        assert [r[name] for r in one] == [r[name] for r in two]
    assert [r["psnr"] for r in two] == pytest.approx([r["psnr"] for r in one], abs=1e-3)
    assert all(r["status"] == "ok" for r in two)
