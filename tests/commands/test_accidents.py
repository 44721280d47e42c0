"""What happens to a run when its data, its disk or its folder fail it: a clear line, status 1, and nothing lost."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from alps_exp.restoration import Restoration
from alps_exp.runs import RunFolder

SHORT = ["sampler.schedule.steps=2", "logger=none", "trainer.accelerator=cpu", "data.batch_size=1"]
PRIOR = ["data=prior", "energy=gaussian", "teacher=gaussian", "data.test.count=24", "num_samples=64", "save=samples"]


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}


def test_a_data_file_that_is_deleted_in_mid_run_leaves_records_of_all_images(models, tmp_path, alps, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"face{i}.png")
    lost = (images / "face2.png").read_bytes()
    step = Restoration.predict_step

    def deleting(self, batch, batch_idx):
        (images / "face2.png").unlink(missing_ok=True)
        step(self, batch, batch_idx)

    request = [
        "restore",
        "data=folder",
        f"data.test.path={images}",
        "data.test.size=16",
        *models,
        *SHORT,
        "num_samples=2",
    ]
    request.append(f"output_root={tmp_path / 'out'}")
    monkeypatch.setattr(Restoration, "predict_step", deleting)
    status, _, err = alps(*request)
    assert status == 1 and err.splitlines()[-1].startswith("alps: ") and "face2.png" in err.splitlines()[-1]
    (path,) = tmp_path.rglob("records.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    reached = {r["image_id"]: r["status"] for r in records}
    assert list(reached) == [f"face{i}" for i in range(4)]
    assert reached["face0"] == "ok" and "face2.png" in reached["face2"]
    assert (path.parent / "FAILED").exists() and not (path.parent / "DONE").exists()
    status, out, _ = alps("table", f"runs={tmp_path / 'out'}", f"output={tmp_path / 'table'}", "figures=false")
    assert status == 0 and " of 4 failed (not restored: " in out

    monkeypatch.setattr(Restoration, "predict_step", step)
    (images / "face2.png").write_bytes(lost)
    assert alps(*request)[0] == 0
    assert all(record.status == "ok" for record in RunFolder(path.parent).records())


@pytest.fixture
def tmpfs(tmp_path):
    """Return a disk of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def remount(disk, option):
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def test_a_run_that_fills_the_disk_goes_on_when_there_is_room(tmpfs, alps):
    request = ["restore", *PRIOR, *SHORT, f"output_root={tmpfs}"]
    status, _, err = alps(*request)
    assert status == 1 and err.splitlines()[-1].startswith("alps: ") and "No space left" in err.splitlines()[-1]
    assert "Traceback" not in err
    done = files_of(tmpfs)
    assert 0 < len(done) < 24 and not list(tmpfs.rglob("*.tmp"))
    remount(tmpfs, "size=100m")
    assert alps(*request)[0] == 0
    assert done.items() <= files_of(tmpfs).items()
    (path,) = tmpfs.rglob("records.jsonl")
    assert len(path.read_text().splitlines()) == 24 * 65


def test_a_folder_that_cannot_be_written_is_named(tmpfs, alps):
    remount(tmpfs, "ro")
    status, _, err = alps("restore", *PRIOR, *SHORT, f"output_root={tmpfs}")
    assert status == 1 and "Traceback" not in err
    assert err.splitlines()[-1].startswith("alps: ") and "Read-only" in err.splitlines()[-1] and str(tmpfs) in err
