"""`dry_run=true` shows the jobs and does none; a trial does a part and keeps none."""

import re

import pytest

GAUSSIAN = ["energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "operator=inpaint_random"]
GAUSSIAN += ["sampler.schedule.steps=2", "num_samples=2", "logger=none", "trainer.accelerator=cpu", "data=prior"]
REQUEST = ["restore", *GAUSSIAN, "data.test.count=3", "output_root=out"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_is_shown_with_what_is_done_and_nothing_is_left(alps, here, launcher):
    assert alps(*REQUEST, "seed=1")[0] == 0
    before = {path for path in here.rglob("*") if path.is_file()}
    words = ["-m", "seed=0,1,2", "dry_run=true", *([f"hydra/launcher={launcher}"] if launcher != "basic" else [])]
    status, out, _ = alps(*REQUEST, *words)
    lines = [re.fullmatch(r"\[(\d)/3\] (out/restore/[\w-]+/[0-9a-f]{12}): (.*)", line) for line in out.splitlines()]
    assert status == 0 and [line and line[3] for line in lines] == ["not begun", "done", "not begun"]
    assert {path for path in here.rglob("*") if path.is_file()} == before
    assert [(here / line[2] / "DONE").exists() for line in lines if line] == [False, True, False]


def test_one_job_is_shown_with_how_far_it_is_and_leaves_no_folder(alps, here):
    status, out, _ = alps(*REQUEST, "dry_run=true")
    assert status == 0 and out.endswith(": not begun\n") and set(here.rglob("*")) == {here / "out"}
    assert alps(*REQUEST)[0] == 0
    assert alps(*REQUEST, "dry_run=true")[1].endswith(": done\n")
    (run,) = (path.parent for path in here.rglob("DONE"))
    (run / "DONE").unlink()
    (run / "images" / "prior0001.h5").unlink()
    assert alps(*REQUEST, "dry_run=true")[1] == f"[1/1] {run.relative_to(here)}: 2 of 3 images\n"


def test_a_wrong_request_is_wrong_in_a_dry_run_too(alps, here):
    assert alps(*REQUEST, "dry_run=true", "num_samples=many")[0] == 2
    assert alps(*REQUEST, "dry_run=perhaps")[0] == 2
    assert alps(*REQUEST, "-m", "dry_run=true", "seed=0,x")[0] == 2
    assert not [path for path in here.rglob("*") if path.is_file()]


@pytest.mark.parametrize("part", ["fast_dev_run=true", "fast_dev_run=1", "limit_predict_batches=2"])
def test_a_restoration_of_a_part_says_so_and_keeps_nothing(alps, here, part):
    status, out, err = alps(*REQUEST, f"+trainer.{part}", "data.batch_size=1")
    name, value = part.split("=")
    assert status == 0 and f"trainer.{name}={value.replace('true', 'True')}" in err and "nothing of it is kept" in err
    assert f"means over {2 if 'limit' in part else 1} of" in out
    assert not [path for path in here.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize("part", ["fast_dev_run=2", "limit_train_batches=2", "limit_val_batches=1"])
def test_a_training_of_a_part_says_so_and_keeps_nothing(alps, here, part):
    network = ["img_resolution=8", "in_channels=2", "out_channels=2", "model_channels=8", "channel_mult=[1]"]
    network = [f"training.network.model.{size}" for size in (*network, "num_blocks=1", "attn_resolutions=[]")]
    request = ["train", *network, "data=brain", "data.test.size=8", "data.batch_size=2", "trainer.max_steps=2"]
    request += ["trainer.enable_progress_bar=false", "logger=none", "trainer.accelerator=cpu", "output_root=out"]
    request += ["trainer.val_check_interval=1"]
    status, _, err = alps(*request, f"+trainer.{part}")
    assert status == 0 and "nothing of it is kept" in err
    assert not [path for path in here.rglob("*") if path.is_file() and path.stat().st_size]


def test_zero_batches_are_a_part_and_a_sweep_of_trials_leaves_nothing(alps, here):
    assert alps(*REQUEST, "+trainer.limit_predict_batches=0", "data.batch_size=1")[0] in (0, 1)
    assert alps(*REQUEST, "-m", "seed=0,1", "+trainer.limit_predict_batches=1", "data.batch_size=1")[0] == 0
    kept = [path.name for path in here.rglob("*") if path.is_file() and path.stat().st_size]
    assert kept in ([], ["multirun.yaml"])


def test_an_empty_folder_of_ones_own_stays(alps, here):
    (here / "out").mkdir()
    assert alps(*REQUEST, "dry_run=true")[0] == 0 and alps(*REQUEST, "num_samples=many")[0] == 2
    assert (here / "out").is_dir() and not list((here / "out").iterdir())


def test_settings_that_leave_nothing_out_make_no_trial(alps, here):
    assert alps(*REQUEST, "+trainer.fast_dev_run=false", "+trainer.limit_predict_batches=1.0")[0] == 0
    assert list(here.rglob("DONE"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sampler.schedule.steps=1000000000"], "steps of a schedule must be at most 1,000,000"),
        (["num_samples=1000000000"], "num_samples must be at most 1,000,000, got 1,000,000,000"),
        (["data.test.count=1000000000"], "count must be at most"),
        (["data.num_workers=100000"], "num_workers must be from 0 to 512, got 100000"),
        (["trainer.devices=100000"], "trainer.devices is 100,000, expected at most 512"),
        (["sampler=map", "sampler.starts=1000000000"], "starts must be at most 1,000,000"),
        (["-m", "seed=range(1000000000)"], "this is a sweep of more than 10,000 jobs"),
        (["-m", "seed=range(1000)", "energy.std=choice(1,2,3,4,5,6,7,8,9,10,11)"], "a sweep of more than 10,000 jobs"),
        (["trainer.num_nodes=2"], "trainer.num_nodes is 2, and nobody starts the others"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(alps, here, words, sentence):
    status, _, err = alps(*REQUEST, *words)
    assert status == 2 and sentence in err and not list(here.rglob("provenance.json"))
