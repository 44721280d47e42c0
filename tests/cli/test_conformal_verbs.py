"""`alps calibrate images=data`, `alps restore conformal=FILE` and `alps table`, on a prior in closed form."""

import json

import pandas as pd
import pytest
from omegaconf import OmegaConf

from alps_exp.runs import RunFolder, config_hash

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "operator=denoise", "logger=none"]
TINY += ["figures=false", "sampler.schedule.steps=2", "num_samples=2"]
FRESH = ["data.test.count=3", "data.test.seed=5"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("conformal")


@pytest.fixture
def bounds(alps, root):
    """Return the bounds of ten images, which are calibrated once."""
    request = ["calibrate", *TINY, "images=data", "data.test.count=10", "count=10", f"output_root={root}"]
    status, out, err = alps(*request)
    assert status == 0, out + err
    (path,) = root.rglob("conformal.json")
    return path


def restore(alps, root, bounds, *words):
    return alps("restore", *TINY, *FRESH, f"conformal={bounds}", f"output_root={root}", *words)


def test_a_calibration_on_data_writes_bounds_that_its_folder_vouches_for(bounds):
    written, run = json.loads(bounds.read_text()), RunFolder(bounds.parent)
    assert len(written["images"]) == 10 and written["shapes"] == [[1, 12, 12]]
    assert written["data"] == run.starts()[-1].data and written["settings"]["num_samples"] == 2
    assert written["factors"]["psnr"][2] is None and written["factors"]["psnr"][1] == max(written["scores"]["psnr"])
    assert "conformal.json" in run.vouched_files()


def test_a_calibration_on_draws_of_the_prior_writes_none(alps, tmp_path):
    status, out, err = alps("calibrate", *TINY, "count=3", f"output_root={tmp_path}")
    assert status == 0, out + err
    assert not list(tmp_path.rglob("conformal.json"))


def test_bounds_are_applied_and_tabled(alps, bounds, tmp_path):
    status, out, err = restore(alps, tmp_path, bounds)
    assert status == 0, out + err
    assert "3 of 3 images: no conformal bound at 95 %: 10 calibration images, and it takes 19" in err
    (folder,) = [path.parent for path in tmp_path.rglob("records.jsonl")]
    record = next(record for record in RunFolder(folder).records() if record.estimate == "mmse")
    assert record.conformal["images"] == 10 and record.conformal["psnr"][2] is None
    status, out, err = alps("table", f"runs={tmp_path}", f"output={tmp_path / 'table'}", "figures=false")
    assert status == 0, out + err
    table = pd.read_csv(tmp_path / "table" / "conformal.csv").set_index("level")
    assert table["calibration_images"].tolist() == [10, 10, 10] and table["judged"].tolist() == [3, 3, 3]
    assert table["psnr"].isna().tolist() == [False, False, True]
    assert "Conformal bounds" in (tmp_path / "table" / "index.html").read_text()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("operator.noise_std=0.3", "operator.noise_std is 0.2 there, 0.3 in this request"),
        ("sampler.schedule.steps=3", "sampler.schedule.steps is 2 there, 3 in this request"),
        ("sampler=map", "is of other settings: sampler"),
        ("num_samples=4", "num_samples is 2 there, 4 in this request"),
        ("energy.length=1.0", "weights is "),
        ("antithetic=true", "give antithetic=false"),
        ("conformal=nowhere.json", "no file nowhere.json, expected the conformal.json of a run of alps calibrate"),
    ],
)
def test_another_request_is_refused_in_one_line(alps, bounds, tmp_path, word, told):
    status, _, err = restore(alps, tmp_path, bounds, word)
    lines = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert status == 2 and len(lines) == 1 and told in lines[0]


def test_the_calibration_images_themselves_are_named(alps, bounds, tmp_path):
    status, _, err = restore(alps, tmp_path, bounds, "data.test.seed=0")
    assert status == 0 and "3 of 3 images: it is one of the calibration images" in err


def test_without_bounds_a_request_has_the_hash_that_it_always_had():
    config = OmegaConf.create({"seed": 0, "sampler": {"steps": 2}})
    without = OmegaConf.merge(config, {"conformal": None})
    assert config_hash(without, "restore") == config_hash(config, "restore")
    assert config_hash(OmegaConf.merge(config, {"conformal": "a.json"}), "restore") != config_hash(config, "restore")
