"""Keys of one's own under `user`: for interpolation only, and they count where they are used."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

GAUSSIAN = ["restore", "data=prior", "energy=gaussian", "teacher=gaussian", "operator=denoise", "data.test.count=1"]
GAUSSIAN += ["num_samples=2", "logger=none", "trainer.accelerator=cpu", "figures=false", "output_root=out"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def folder_of(preview):
    return preview.partition("] ")[2].partition(":")[0]


def test_their_values_count_where_they_are_used(alps):
    plain = alps(*GAUSSIAN, "sampler.schedule.steps=3", "dry_run=true")[1]
    by_key = alps(*GAUSSIAN, "+user.n=3", "sampler.schedule.steps=${user.n}", "dry_run=true")[1]
    other = alps(*GAUSSIAN, "+user.n=4", "sampler.schedule.steps=${user.n}", "dry_run=true")[1]
    assert folder_of(plain) == folder_of(by_key) != folder_of(other)
    status, out, err = alps(*GAUSSIAN, "+user.n=3", "sampler.schedule.steps=${user.n}")
    assert status == 0, out + err
    saved = OmegaConf.load(Path(folder_of(plain)) / "config.yaml")
    assert saved.sampler.schedule.steps == 3 and saved.user == {"n": 3}
    assert "is done already" in alps(*GAUSSIAN, "sampler.schedule.steps=3")[1]
    sweep = alps(*GAUSSIAN, "-m", "+user.n=3,4", "sampler.schedule.steps=${user.n}", "dry_run=true")[1]
    assert [folder_of(line) for line in sweep.splitlines()] == [folder_of(by_key), folder_of(other)]


def test_nothing_of_them_is_checked_or_imported(alps):
    harm = "+user.thing={_target_:not.there,x:[1,{y:2}]}"
    assert alps(*GAUSSIAN, "+user.why=text", harm, "dry_run=true")[0] == 0
    assert alps("table", harm, "dry_run=true")[0] == 0


def test_an_experiment_has_some(alps, tmp_path):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\nuser:\n  std: 0.2\noperator:\n  noise_std: ${user.std}\nenergy:\n  std: ${user.std}\n"
    )
    where = ["--config-dir", str(tmp_path / "conf"), "experiment=mine", "user.std=0.3", "sampler.schedule.steps=2"]
    status, out, err = alps(*GAUSSIAN, *where)
    assert status == 0, out + err
    (saved,) = (OmegaConf.load(path) for path in tmp_path.rglob("config.yaml"))
    assert saved.operator.noise_std == saved.energy.std == 0.3


@pytest.mark.parametrize(
    ("word", "sentence"),
    [("user=3", "user is 3, expected settings, as +user.KEY=VALUE"), ("user.std=3", "+user.std=VALUE")],
)
def test_a_key_that_is_none_is_refused(alps, word, sentence):
    status, _, err = alps(*GAUSSIAN, word)
    assert status == 2 and sentence in err
