"""Two local processes: many images are divided, of one image the samples are; the records are those of one process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from alps_exp.checkpoints import save_model
from alps_exp.runs import RunFolder

REQUEST = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=3"]
REQUEST += ["logger=none", "figures=false", "trainer.accelerator=cpu", "sampler.schedule.steps=3"]
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
from alps_exp.datasets import ImageFolder

class Damaged(ImageFolder):
    def _read(self, name):
        damaged = name == os.environ["DAMAGED"] and os.environ.get("LOCAL_RANK", "0") in os.environ["FOR"]
        return super()._read(name)[: 100 if damaged else None]
"""


@pytest.fixture
def damaged(tmp_path, network):
    """Return what restores the first pictures by two processes, of which those `of` cannot read the one named."""
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

    def run(name, of, *more):
        line = [sys.executable, "-m", "alps_exp", *request, f"output_root={tmp_path / 'out'}", *more]
        paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "DAMAGED": name, "FOR": of}
        done = subprocess.run(line, env=environment, capture_output=True, text=True)
        told = [line for line in done.stderr.splitlines() if line.startswith(("failed: ", "alps: "))]
        (path,) = tmp_path.rglob("records.jsonl")
        return done.returncode, told, RunFolder(path.parent)

    return run


@pytest.mark.slow
def test_an_image_that_one_of_two_processes_cannot_read_costs_itself(damaged):
    status, (told,), folder = damaged("5.png", "01")
    assert status == 1 and told.startswith("failed: 5: ") and "5.png" in told
    statuses = {record.image_id: record.status for record in folder.records()}
    assert [name for name, status in statuses.items() if status != "ok"] == ["5"] and len(statuses) == 8
    restored = {file: file.stat().st_mtime_ns for file in folder.path.rglob("*.h5") if folder.finished(file.stem)}

    assert damaged("none", "")[:2] == (0, [])
    assert folder.is_done() and all(record.status == "ok" for record in folder.records())
    assert all(file.stat().st_mtime_ns == written for file, written in restored.items())


@pytest.mark.slow
@pytest.mark.parametrize("of", ["0", "1"])
@pytest.mark.parametrize("num_samples", [1, 2])
def test_few_images_of_which_one_process_cannot_read_one(damaged, of, num_samples):
    """Of one image and two processes: with two samples they share it, with one sample the first takes it."""
    status, told, folder = damaged("0.png", of, "data.test.indices=[0,1]", f"num_samples={num_samples}")
    reads = num_samples == 1 and of == "1"
    assert status == (0 if reads else 1) and len(told) == (0 if reads else 1)
    assert {record.status == "ok" for record in folder.records()} == {reads}
