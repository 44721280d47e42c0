"""SIGTERM, as clusters send it, and Ctrl-C: a job ends soon, says what is saved, and does not count as done."""

import json
import signal

import processes
import pytest

SMALL = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".size=12")]
SMALL += ["data=prior", "logger=none", "trainer.accelerator=cpu", "data.batch_size=1"]
RESTORE = ["restore", *SMALL, "data.test.count=4", "num_samples=2", "sampler.schedule.steps=2", "figures=false"]
CALIBRATE = ["calibrate", *SMALL, "count=4", "num_samples=3", "sampler.schedule.steps=2"]
AT = "alps_exp.runs.folder.RunFolder.save_result"


def run(folder, *request, **options):
    process = processes.start(folder / "log", *request, f"output_root={folder / 'out'}", **options)
    process.join()
    return process.exitcode


@pytest.mark.parametrize(
    ("request_words", "number"),
    [(RESTORE, signal.SIGTERM), (CALIBRATE, signal.SIGTERM), (RESTORE, signal.SIGINT)],
    ids=["restore", "calibrate", "Ctrl-C"],
)
def test_it_ends_after_the_image_that_it_is_at_and_goes_on(tmp_path, request_words, number):
    assert run(tmp_path, *request_words, killed_at=AT, by=number) == 128 + number
    images = list(tmp_path.rglob("images/*.h5"))
    assert len(images) == 1 and not list(tmp_path.rglob("DONE"))
    line = next(line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("alps: "))
    assert line.startswith(f"alps: ended by {number.name}: ")
    assert line.endswith("1 images; the same command goes on")
    written = {path: path.stat().st_mtime_ns for path in images}
    assert run(tmp_path, *request_words) == 0
    assert {path: path.stat().st_mtime_ns for path in images} == written
    (records,) = tmp_path.rglob("records.jsonl")
    assert len({json.loads(line)["image_id"] for line in records.read_text().splitlines()}) == 4


def test_a_sweep_ends_with_its_job(tmp_path):
    assert (
        run(tmp_path, RESTORE[0], "-m", *RESTORE[1:], "seed=0,1", killed_at=AT, by=signal.SIGTERM)
        == 128 + signal.SIGTERM
    )
    assert len(list(tmp_path.rglob("images/*.h5"))) == 1


def test_a_signal_during_the_last_image_loses_nothing(tmp_path):
    assert run(tmp_path, *RESTORE, "data.test.count=1", killed_at=AT, by=signal.SIGTERM) == 0
    assert len(list(tmp_path.rglob("DONE"))) == 1


def test_a_training_fails_too(tmp_path, network):
    sizes = ["img_resolution=16", "model_channels=8", "channel_mult=[1]", "num_blocks=1", "attn_resolutions=[]"]
    sizes += ["in_channels=2", "out_channels=2"]
    request = ["train", "data=brain", "data.batch_size=1", "data.validation=null", "trainer.max_steps=6", "logger=none"]
    request += ["data.test.size=16", *(f"training.network.model.{size}" for size in sizes), "checkpoint_minutes=0"]
    request += ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    at = "alps_exp.lightning.checkpointing.Checkpointing.on_train_batch_end"
    assert run(tmp_path, *request, killed_at=at, by=signal.SIGTERM) == 128 + signal.SIGTERM
    assert "ended by SIGTERM: saved in" in (tmp_path / "log").read_text() and not list(tmp_path.rglob("DONE"))
    assert "the last checkpoint; the same command goes on" in (tmp_path / "log").read_text()
    assert run(tmp_path, *request) == 0 and len(list(tmp_path.rglob("DONE"))) == 1
