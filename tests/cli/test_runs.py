"""Real runs from the command line: restore, resume after a kill, sweep, table; teacher, distill, and their weights."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from standstill import kill_at

from alps_exp.checkpoints import save_model
from alps_exp.priors import load_teacher
from alps_exp.runs import RunFolder

SHORT = ["sampler.schedule.steps=3", "num_samples=2"]
NETWORK = "training.network.model"
SMALL = [f"{NETWORK}.{size}" for size in ("model_channels=16", "channel_mult=[1,2]", "num_blocks=1", "patch_size=4")]
SMALL.append(f"{NETWORK}.attn_resolutions=[]")


@pytest.fixture
def faces(tmp_path):
    """Return the request for a folder of five smooth images."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        pixels = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(folder / f"face{i}.png")
    small = ["data.test.size=32", "data.batch_size=2"]
    return ["data=folder", f"data.test.path={folder}", *small, f"output_root={tmp_path / 'out'}"]


def command(*arguments):
    return [sys.executable, "-m", "alps_exp", *arguments]


@pytest.fixture
def run(alps):
    """Return what runs the command in this process and checks its exit status."""

    def checked(*arguments, status=0):
        given, out, err = alps(*arguments)
        assert given == status, out + err
        return out, err

    return checked


def the_run(folder):
    (records,) = Path(folder).rglob("records.jsonl")
    return records.parent


def timeless(run_folder):
    lines = [json.loads(line) for line in (run_folder / "records.jsonl").read_text().splitlines()]
    return [{**line, "seconds": None, "peak_memory_mib": None} for line in lines]


@pytest.mark.usefixtures("drawn")
def test_a_restore_leaves_what_the_contract_says_and_is_its_own_resume(faces, models, tmp_path, run, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    request = [*faces, *models, *SHORT]  # with the default logger, without a key
    run("restore", *request)
    folder = the_run(tmp_path / "out")
    expected = {"config.yaml", "provenance.json", "records.jsonl", "figure.png", "DONE", "wandb_id"}
    assert expected <= {path.name for path in folder.iterdir()}
    (offline,) = folder.glob("wandb/offline-run-*")
    run_id = (folder / "wandb_id").read_text()
    assert offline.name.endswith(run_id)
    assert len(list((folder / "images").glob("*.h5"))) == 5
    records = timeless(folder)
    assert [r["estimate"] for r in records[:3]] == ["mmse", "sample", "sample"]
    assert len(records) == 15 and all(r["status"] == "ok" for r in records)
    first = records[0]
    assert (first["image_id"], first["nfe_forward"], first["nfe_vjp"], first["num_samples"]) == ("face0", 3, 3, 2)
    assert first["spread"] > 0 and first["error"] > 0 and first["psnr"] > 5
    assert abs(first["data_misfit"]) < 1e6 and first["energy"] > 0

    before = {path: path.stat().st_mtime_ns for path in [folder / "records.jsonl", *folder.rglob("*.h5")]}
    out, _ = run("restore", *request)
    assert "is done already" in out and len(list(folder.glob("wandb/offline-run-*"))) == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (folder / "images" / "face1.h5").unlink()
    run("restore", *request, "logger=csv")
    assert timeless(folder) == records
    (metrics,) = folder.rglob("metrics.csv")
    assert "mmse/psnr" in metrics.read_text()


def test_a_killed_restore_goes_on_to_the_same_records(faces, models, tmp_path, run):
    short = [*faces, *models, "sampler.schedule.steps=3", "num_samples=2", "logger=none", "figures=false"]
    images = tmp_path / "out"
    # the two images of a batch are written one after the other
    kill_at("/.face3.h5.", "restore", *short, folder=tmp_path, reached=lambda: list(images.rglob("face2.h5")))
    folder = next(images.rglob("images")).parent
    assert not (folder / "DONE").exists()
    assert sorted(path.stem for path in (folder / "images").glob("*.h5")) == ["face0", "face1", "face2"]
    kept = {path: path.stat().st_mtime_ns for path in (folder / "images").glob("*.h5")}
    run("restore", *short)
    assert (folder / "DONE").exists()
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())

    run("restore", *short, f"output_root={tmp_path / 'undisturbed'}")
    assert timeless(folder) == timeless(the_run(tmp_path / "undisturbed"))


@pytest.mark.usefixtures("drawn")
def test_an_image_that_fails_is_recorded_and_named(faces, models, tmp_path, run):
    wild = [
        "sampler=dps",
        "sampler.step_size=1e30",
        "sampler.schedule.scales=4",
        "num_samples=2",
        "logger=none",
        "figures=false",
    ]
    _, err = run("restore", *faces, *models, *wild, status=1)
    assert "failed: face0: " in err
    records = timeless(the_run(tmp_path / "out"))
    assert {r["image_id"] for r in records} == {f"face{i}" for i in range(5)}
    assert all(r["status"] != "ok" and r["psnr"] is None for r in records)


@pytest.mark.usefixtures("drawn")
def test_a_sweep_ends_in_one_table(faces, models, tmp_path, run):
    run("restore", "-m", *faces, *models, *SHORT, "logger=none", "figures=false", "sampler=alps,map")
    out, _ = run("table", f"runs={tmp_path / 'out'}", f"output={tmp_path / 'table'}")
    assert "alps" in out and "map" in out
    names = {path.name for path in (tmp_path / "table").iterdir()}
    assert {"config.yaml", "table.md", "table.csv", "table.tex", "folder_inpaint_random.png"} <= names


def test_teacher_then_distill_then_restore(faces, tmp_path, run, breaking):
    images = [*faces, f"data.train.path={tmp_path / 'images'}", "logger=csv", "trainer.accelerator=cpu"]
    teach = ["train", *images, *SMALL, "data.validation=null", "trainer.max_steps=4"]
    for step in (1, 2):
        with breaking() as often:
            assert f"broken off after step {step}" in run(*teach, *often, status=1)[1]
    run(*teach)
    (teacher,) = (tmp_path / "out").rglob("teacher.safetensors")
    card = teacher.with_suffix(".md").read_text()
    assert all(entry in card for entry in ("architecture", "command", "commit", "sha256", "license"))
    assert "| resolution | 32 x 32, 3 channels |" in card  # of the images; the architecture's is 64
    assert len(RunFolder(teacher.parent).starts()) == 3 and RunFolder(teacher.parent).starts()[0].data

    short = ["trainer.max_steps=2", "trainer.val_check_interval=2", "trainer.log_every_n_steps=2"]
    validation = f"data.validation.path={tmp_path / 'images'}"
    distill = ["distill", *images, validation, *short, "teacher=file", f"teacher.name={teacher}"]
    run(*distill)
    assert "is done already" in run(*distill)[0]
    (energy,) = (tmp_path / "out").rglob("energy.safetensors")
    (metrics,) = energy.parent.rglob("metrics.csv")
    assert "loss/sigma" in metrics.read_text() and "validation/gap_sigma_1" in metrics.read_text()
    run("restore", *faces, *SHORT, "logger=none", "figures=false", "energy=file", f"energy.name={energy}")
    assert all(r["status"] == "ok" for r in timeless(the_run(tmp_path / "out")))
    network = load_teacher(teacher).network
    network.model.map_layer0.weight.data += 1
    save_model(teacher, network, "teacher")
    assert "was started with other inputs" in run(*distill, status=2)[1]


@pytest.mark.slow
def test_two_processes_share_the_images_of_one_run(faces, models, tmp_path):
    gloo = ["trainer.accelerator=cpu", "trainer.strategy=ddp", "trainer.devices=2", "logger=none"]
    request = [*faces, *models, *SHORT, *gloo]
    subprocess.run(command("restore", *request), check=True)
    folder = the_run(tmp_path / "out")
    shared = timeless(folder)
    assert (folder / "DONE").exists()
    assert [r["image_id"] for r in shared if r["estimate"] == "mmse"] == [f"face{i}" for i in range(5)]
    assert all(r["status"] == "ok" for r in shared)


def test_a_local_sweep_on_several_devices_is_refused(faces, models, alps):
    devices = ["trainer.accelerator=cpu", "trainer.strategy=ddp", "trainer.devices=2", "logger=none"]
    status, _, err = alps("restore", "-m", *faces, *models, *SHORT, *devices, "seed=1,2")
    assert status == 2
    assert err.count("a local sweep (-m) runs on one device, got 2") == 2


def test_convolutions_are_float32_and_not_tf32(faces, models, tmp_path, run, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    run("restore", *faces, *models, *SHORT, "logger=none", "figures=false")
    assert not torch.backends.cudnn.allow_tf32
