"""Real runs from the command line: restore, resume after a kill, sweep, table; teacher, distill, and their weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alps_exp.priors import save_model

QUICK = ["sampler.schedule.steps=3", "num_samples=2", "logger=none"]


@pytest.fixture
def faces(tmp_path):
    """Return the request for a folder of five smooth images."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        small = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((64, 64)).save(folder / f"face{i}.png")
    return ["data=folder", f"data.test.path={folder}", "data.batch_size=2", f"output_root={tmp_path / 'out'}"]


@pytest.fixture
def models(tmp_path, network):
    """Return the request for small random models."""
    for kind in ("teacher", "energy"):
        save_model(tmp_path / f"small-{kind}.safetensors", network(3), kind)
    names = [f"{kind}.name={tmp_path / f'small-{kind}.safetensors'}" for kind in ("teacher", "energy")]
    return ["teacher=file", "energy=file", *names]


def command(*arguments):
    return [sys.executable, "-m", "alps_exp", *arguments]


def run(*arguments, status=0):
    done = subprocess.run(command(*arguments), capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def the_run(folder):
    (records,) = Path(folder).rglob("records.jsonl")
    return records.parent


def timeless(run_folder):
    lines = [json.loads(line) for line in (run_folder / "records.jsonl").read_text().splitlines()]
    return [{**line, "seconds": None} for line in lines]


def test_a_restore_leaves_what_the_contract_says_and_is_its_own_resume(faces, models, tmp_path):
    run("restore", *faces, *models, *QUICK)
    folder = the_run(tmp_path / "out")
    expected = {"config.yaml", "provenance.json", "records.jsonl", "figure.png", "DONE"}
    assert expected <= {path.name for path in folder.iterdir()}
    assert len(list((folder / "images").glob("*.h5"))) == 5
    records = timeless(folder)
    assert [r["estimate"] for r in records[:3]] == ["mmse", "sample", "sample"]
    assert len(records) == 15 and all(r["status"] == "ok" for r in records)
    first = records[0]
    assert (first["image_id"], first["nfe_forward"], first["nfe_vjp"], first["num_samples"]) == ("face0", 3, 3, 2)
    assert first["spread"] > 0 and first["error"] > 0 and first["psnr"] > 5
    assert abs(first["data_misfit"]) < 1e6 and first["energy"] > 0

    before = (folder / "records.jsonl").read_bytes()
    run("restore", *faces, *models, *QUICK)
    assert (folder / "records.jsonl").read_bytes() == before


def test_a_killed_restore_goes_on_to_the_same_records(faces, models, tmp_path):
    slow = [*faces, *models, "sampler.schedule.steps=150", "num_samples=4", "logger=none"]
    process = subprocess.Popen(command("restore", *slow), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    images = tmp_path / "out"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(images.rglob("face1.h5")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    folder = next(images.rglob("images")).parent
    assert not (folder / "DONE").exists()
    assert 1 <= len(list((folder / "images").glob("*.h5"))) < 5
    kept = {path: path.stat().st_mtime_ns for path in (folder / "images").glob("*.h5")}
    run("restore", *slow)
    assert (folder / "DONE").exists()
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())

    run("restore", *slow, f"output_root={tmp_path / 'undisturbed'}")
    assert timeless(folder) == timeless(the_run(tmp_path / "undisturbed"))


def test_an_image_that_fails_is_recorded_and_named(faces, models, tmp_path):
    wild = ["sampler=dps", "sampler.step_size=1e30", "sampler.schedule.scales=4", "num_samples=2", "logger=none"]
    done = run("restore", *faces, *models, *wild, status=1)
    assert "failed: face0: " in done.stderr
    records = timeless(the_run(tmp_path / "out"))
    assert {r["image_id"] for r in records} == {f"face{i}" for i in range(5)}
    assert all(r["status"] != "ok" and r["psnr"] is None for r in records)


def test_a_sweep_ends_in_one_table(faces, models, tmp_path):
    short = ["logger=none", "num_samples=2", "sampler.schedule.scales=3"]
    run("restore", "-m", *faces, *models, *short, "sampler=dps,daps")
    done = run("table", f"runs={tmp_path / 'out'}", f"output={tmp_path / 'table'}")
    assert "daps" in done.stdout and "dps" in done.stdout
    names = {path.name for path in (tmp_path / "table").iterdir()}
    assert {"table.md", "table.csv", "table.tex", "folder_inpaint_random.png"} <= names


@pytest.mark.parametrize("logger", ["wandb", "csv"])
def test_loggers_work_without_a_network(faces, models, tmp_path, logger, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    run("restore", *faces, *models, "sampler.schedule.steps=3", "num_samples=2", f"logger={logger}")
    folder = the_run(tmp_path / "out")
    left = {"wandb": "wandb/offline-run-*", "csv": "metrics/metrics.csv"}[logger]
    assert list(folder.glob(left))


def test_teacher_then_distill_then_restore(faces, tmp_path):
    network = "training.network.model."
    small = [f"{network}model_channels=16", f"{network}channel_mult=[1,2]", f"{network}num_blocks=1"]
    images = [f"data.train.path={tmp_path / 'images'}", "data.validation=null", "logger=csv"]
    short = ["trainer.max_steps=3", "trainer.accelerator=cpu"]
    run("teacher", *faces, *images, *small, f"{network}attn_resolutions=[]", f"{network}patch_size=4", *short)
    (teacher,) = (tmp_path / "out").rglob("teacher.safetensors")
    card = teacher.with_suffix(".md").read_text()
    assert all(entry in card for entry in ("architecture", "command", "commit", "sha256", "licence"))

    run("distill", *faces, *images, *short, "teacher=file", f"teacher.name={teacher}")
    (energy,) = (tmp_path / "out").rglob("energy.safetensors")
    run("restore", *faces, *QUICK, "energy=file", f"energy.name={energy}")
    records = timeless(the_run(tmp_path / "out"))
    assert all(r["status"] == "ok" for r in records)
