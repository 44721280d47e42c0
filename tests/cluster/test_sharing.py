"""Two local processes: many images are divided, of one image the samples are; the records are those of one process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from alps_exp.priors import save_model
from alps_exp.runs import RunFolder

REQUEST = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=3"]
REQUEST += ["logger=none", "trainer.accelerator=cpu", "sampler.schedule.steps=3"]
TWO = ["trainer.devices=2", "trainer.strategy=ddp"]


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
    two = records(tmp_path / "two", images, *TWO)
    for name in ("image_id", "estimate", "sample_index", "nfe_forward", "nfe_vjp", "status"):
        assert [r[name] for r in one] == [r[name] for r in two]
    assert [r["psnr"] for r in two] == pytest.approx([r["psnr"] for r in one], abs=1e-3)
    assert all(r["status"] == "ok" for r in two)


DAMAGED_FOLDER = """
import os
from alps_exp.data import ImageFolder

class Damaged(ImageFolder):
    def _read(self, name):
        if name == "5.png" and os.environ["DAMAGE"] == "gone":
            raise FileNotFoundError(name)
        return super()._read(name)[: 100 if name == "5.png" and os.environ["DAMAGE"] == "torn" else None]
"""


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "status"), [("torn", 2), ("gone", 1)])
def test_an_image_that_one_process_cannot_read_costs_what_that_had_left_to_do(tmp_path, network, damage, status):
    """Of eight images the second process has those of odd number, and meets the fifth after the first and third."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{i}.png")
    save_model(tmp_path / "energy.safetensors", network(3), "energy")
    (tmp_path / "damaged_folder.py").write_text(DAMAGED_FOLDER)
    request = ["restore", "data=folder", "data.test._target_=damaged_folder.Damaged", f"data.test.path={images}"]
    request += ["data.test.size=16", "data.batch_size=1", "energy=file", f"energy.name={tmp_path}/energy.safetensors"]
    request += ["num_samples=2", "sampler.schedule.steps=3", "logger=none", "trainer.accelerator=cpu", *TWO]

    def run(damage):
        line = [sys.executable, "-m", "alps_exp", *request, f"output_root={tmp_path / 'out'}"]
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "DAMAGE": damage}
        return subprocess.run(line, env=environment, capture_output=True, text=True)

    done = run(damage)
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("alps: ")]
    assert done.returncode == status and told == f"alps: unreadable image 5.png in {images}"
    (path,) = tmp_path.rglob("records.jsonl")
    folder = RunFolder(path.parent)
    assert (folder.path / "FAILED").exists() and not folder.is_done()
    statuses = {record.image_id: record.status for record in folder.records()}
    lost = f"not restored: unreadable image 5.png in {images}"
    assert {i: status for i, status in statuses.items() if status != "ok"} == {"5": lost, "7": lost}
    assert len(statuses) == 8
    restored = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.h5") if folder.finished(file.stem)}

    assert run("none").returncode == 0
    assert folder.is_done() and all(record.status == "ok" for record in folder.records())
    assert all(file.stat().st_mtime_ns == written for file, written in restored.items())
