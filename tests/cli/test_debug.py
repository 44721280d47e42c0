"""`debug=fast`, `debug=limit` and `debug=profile`: less of a run, or more of what it costs."""

import re
from pathlib import Path

import pytest

from alps_exp.training.base import DenoisingTraining

GAUSSIAN = [
    "data=prior",
    "energy=gaussian",
    "teacher=gaussian",
    "operator=denoise",
    "energy.size=12",
    "teacher.size=12",
]
GAUSSIAN += ["num_samples=2", "sampler.schedule.steps=3", "trainer.accelerator=cpu"]


def files_in(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize(("preset", "images"), [("fast", 1), ("limit", 6)])
def test_a_restoration_does_a_part_and_leaves_nothing(alps, tmp_path, monkeypatch, preset, images):
    monkeypatch.chdir(tmp_path)
    batch = [] if preset == "fast" else ["data.batch_size=2"]
    status, out, err = alps("restore", *GAUSSIAN, *batch, "data.test.count=8", f"debug={preset}")
    assert status == 0 and f"means over {images} of" in out and "this is a trial" in err, out + err
    assert files_in(tmp_path) == []


def test_a_calibration_can_be_tried(alps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [word for word in GAUSSIAN if not word.startswith("data=")]
    status, out, err = alps("calibrate", *words, "count=4", "num_samples=3", "figures=false", "debug=fast")
    assert status == 0, out + err
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(("preset", "steps"), [("fast", 1), ("limit", 20)])
def test_a_training_does_a_part_and_leaves_nothing(teach, tmp_path, monkeypatch, preset, steps):
    trained, step = [], DenoisingTraining.training_step

    def counted(self, batch, batch_idx):
        trained.append(batch_idx)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DenoisingTraining, "training_step", counted)
    status, out, err = teach(f"debug={preset}", "callbacks=[early_stopping,checkpoint]")
    assert status == 0, out + err
    assert len(trained) == steps and files_in(tmp_path / "out") == []


def test_a_profile_lies_in_the_folder_of_a_run_of_its_own_and_is_told(alps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*GAUSSIAN, "logger=none", "figures=false", "data.test.count=1"]
    status, out, err = alps("restore", *words, "debug=profile")
    assert status == 0, out + err
    told = Path(re.search("^profile: (.*)$", out, re.M)[1])
    assert told.relative_to(tmp_path).parts[:2] == ("outputs", "profile") and (told.parent / "DONE").exists()
    assert "(_diffused)" in told.read_text()
    (hash_of_profiled,) = (path.parent.name for path in (tmp_path / "outputs").rglob("DONE"))
    assert alps("restore", *words)[0] == 0
    (other,) = (tmp_path / "outputs" / "restore").rglob("DONE")
    assert other.parent.name == hash_of_profiled and not list(other.parent.glob("*profile*"))


def test_a_profile_of_a_training(teach, tmp_path):
    status, out, err = teach("debug=profile", "trainer.max_steps=1")
    assert status == 0, out + err
    assert "training_step" in Path(re.search("^profile: (.*fit-.*)$", out, re.M)[1]).read_text()


def test_a_wrong_preset_is_named_and_none_is_a_choice(alps):
    status, _, err = alps("restore", "debug=fsat")
    assert (status, err.splitlines()[-1]) == (2, "alps: unknown choice debug=fsat: did you mean fast?")
    assert alps("restore", "debug=null", "--cfg", "job")[0] in (0, None)
