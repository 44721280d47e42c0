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

SHORT = ["sampler.schedule.steps=2", "logger=none", "figures=false", "trainer.accelerator=cpu", "data.batch_size=1"]
PRIOR = ["data=prior", "energy=gaussian", "teacher=gaussian", "data.test.count=24", "num_samples=64", "save=samples"]


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}


@pytest.fixture
def pictures(tmp_path):
    """Return five small pictures, and the request for them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"face{i}.png")
    return folder, ["data=folder", f"data.test.path={folder}", "data.test.size=16", *SHORT[1:], "num_samples=2"]


def the_run(root):
    (path,) = root.rglob("records.jsonl")
    return RunFolder(path.parent)


def mmse(folder):
    return {record.image_id: record for record in folder.records() if record.estimate == "mmse"}


@pytest.mark.parametrize(("batch_size", "workers"), [(2, 1), (5, 0)])
def test_an_unreadable_image_costs_itself(pictures, models, tmp_path, alps, batch_size, workers):
    folder, request = pictures
    request = [*request, *models, "sampler.schedule.steps=2", f"data.batch_size={batch_size}"]
    undisturbed = [*request, f"output_root={tmp_path / 'whole'}"]
    assert alps("restore", *undisturbed)[0] == 0
    whole = (folder / "face1.png").read_bytes()
    (folder / "face1.png").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    request += [f"output_root={tmp_path / 'out'}", f"data.num_workers={workers}"]

    status, _, err = alps("restore", *request)
    (named,) = [line for line in err.splitlines() if line.startswith(("failed: ", "alps: "))]
    assert status == 1 and named.startswith("failed: face1: ") and "face1.png" in named and "Traceback" not in err
    run, expected = the_run(tmp_path / "out"), mmse(the_run(tmp_path / "whole"))
    found = mmse(run)
    assert list(found) == list(expected)
    assert "face1.png" in found["face1"].status and found["face1"].psnr is None and found["face1"].noise_std == 0.05
    for name in found.keys() - {"face1"}:
        assert found[name].psnr == pytest.approx(expected[name].psnr, abs=1e-3) and found[name].status == "ok"
    assert run.load_result("face1").estimates == {}
    status, out, _ = alps("table", f"runs={run.path}", f"output={tmp_path / 'table'}", "figures=false")
    assert status == 0 and "1 of 5 failed" in out

    kept = files_of(run.path)
    assert alps("restore", *request)[0] == 1
    (folder / "face1.png").write_bytes(whole)
    status, _, err = alps("restore", *request)
    assert status == 2 and "other inputs" in err and "resume_anyway=true" in err
    assert alps("restore", *request, "resume_anyway=true")[0] == 0
    assert mmse(run)["face1"].psnr == pytest.approx(expected["face1"].psnr, abs=1e-3)
    again = files_of(run.path)
    assert {path for path in kept if kept[path] != again[path]} == {run.image_path("face1")}


@pytest.mark.usefixtures("drawn")
def test_a_folder_without_a_readable_image_fails_and_each_is_named(pictures, models, tmp_path, alps):
    folder, request = pictures
    for path in folder.iterdir():
        path.write_bytes(b"no picture")
    request = [*request, *models, "sampler.schedule.steps=2", f"output_root={tmp_path / 'out'}"]
    status, _, err = alps("restore", *request)
    assert status == 1 and all(f"failed: face{i}: " in err and f"face{i}.png" in err for i in range(5))
    assert [record.noise_std for record in the_run(tmp_path / "out").records()] == [0.05] * 5
    assert "Traceback" not in err


def test_calibration_goes_on_past_an_unreadable_image(pictures, models, tmp_path, alps):
    folder, request = pictures
    (folder / "face0.png").write_bytes(b"no picture")
    request = [*request, *models, "sampler.schedule.steps=2", "images=data", "count=4", "data.batch_size=2"]
    status, _, err = alps("calibrate", *request, f"output_root={tmp_path / 'out'}")
    assert status == 1 and "failed: face0: " in err
    report = json.loads(next(tmp_path.rglob("calibration.json")).read_text())
    assert (report["images"], report["failed"]) == (3, 1)


def test_a_data_file_that_is_deleted_in_mid_run_costs_itself(pictures, models, tmp_path, alps, monkeypatch):
    folder, request = pictures
    lost = (folder / "face2.png").read_bytes()
    step = Restoration.predict_step

    def deleting(self, batch, batch_idx):
        (folder / "face2.png").unlink(missing_ok=True)
        step(self, batch, batch_idx)

    request = [*request, *models, "sampler.schedule.steps=2", "data.batch_size=1", f"output_root={tmp_path / 'out'}"]
    monkeypatch.setattr(Restoration, "predict_step", deleting)
    status, _, err = alps("restore", *request)
    assert status == 1 and "failed: face2: " in err and "face2.png" in err
    statuses = {name: record.status for name, record in mmse(the_run(tmp_path / "out")).items()}
    assert [name for name, status in statuses.items() if status == "ok"] == ["face0", "face1", "face3", "face4"]

    monkeypatch.setattr(Restoration, "predict_step", step)
    (folder / "face2.png").write_bytes(lost)
    assert alps("restore", *request)[0] == 0
    assert all(record.status == "ok" for record in the_run(tmp_path / "out").records())


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
