"""What real runs say of the images that their means are over: in the table, on the terminal, to the logger."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from alps_exp.cli.restore import report
from alps_exp.restoration import run as run_module
from alps_exp.runs import Record, RunFolder

SMALL = ["data=prior", "energy=gaussian", "teacher=gaussian", "logger=none", "figures=false", "num_samples=2"]
EDM = ["operator=gaussian_blur", "sampler.schedule.steps=3"]


@pytest.fixture
def table_of(alps, tmp_path):
    """Return what runs requests, and gives their table and what it looks like."""

    def run(*requests):
        for name, *arguments in requests:
            status, out, err = alps(name, *SMALL, *arguments, f"output_root={tmp_path / 'out'}")
            assert status == 0, out + err
        to = tmp_path / "table"
        status, out, err = alps("table", f"runs={tmp_path / 'out'}", f"output={to}", "reference=alps", "figures=false")
        assert status == 0, out + err
        return pd.read_csv(to / "table.csv").query("estimate != 'sample'").set_index("sampler"), out

    return run


def test_a_sampler_on_fewer_images_does_not_compete(table_of):
    classical = ["operator=gaussian_blur", "sampler=sense"]
    table, out = table_of(
        ("restore", *EDM, "sampler=alps", "data.test.count=4"),
        ("restore", *classical, "data.test.count=4"),
        ("restore", "operator=gaussian_blur", "sampler=total_variation", "data.test.count=2"),
    )
    assert dict(table["images"]) == {"alps": 4, "sense": 4, "total_variation": 2}
    few = "no interval of the difference: 2 independent images, at least 6 needed"
    assert table["status"]["total_variation"] == f"other images than alps (2 of 4 in common); {few}"
    assert table["pairs"]["total_variation"] == 2 and table["pairs"]["sense"] == 4
    assert list(table["compared"]) == [True, True, False]
    best = table["psnr"][["alps", "sense"]].max()
    assert f"**{best:.2f} ±" in out


def test_a_sampler_on_other_draws_of_the_same_ids_is_not_compared(table_of):
    table, out = table_of(
        ("restore", *EDM, "sampler=alps", "data.test.count=2"),
        ("restore", "operator=gaussian_blur", "sampler=sense", "data.test.count=2", "data.test.seed=1"),
    )
    assert table["status"]["sense"] == "other data.test.seed than alps"
    assert table["status"]["alps"] == "other data.test.seed than sense"
    assert pd.isna(table["difference"]["sense"]) and "**" not in out


def test_calibrations_on_draws_of_different_priors_say_so(table_of, tmp_path):
    few = ["count=2", "sampler.schedule.sigma_min=0.05"]
    table_of(
        ("calibrate", *EDM, *few, "teacher.length=1.0", "sampler=alps"),
        ("calibrate", "operator=gaussian_blur", *few, "teacher.length=1.0", "sampler=dps"),
    )
    found = pd.read_csv(tmp_path / "table" / "calibration.csv").set_index("sampler")
    assert dict(found["status"]) == {"alps": "other prior.length than dps", "dps": "other prior.length than alps"}


def test_means_are_reported_with_their_number_of_images(monkeypatch, capsys, tmp_path):
    given = {}
    monkeypatch.setattr(run_module, "run_figure", lambda folder: folder.path / "figure.png")
    monkeypatch.setattr(run_module, "log_result", lambda loop, numbers, *_: given.update(numbers))
    common = {"task": "t", "operator": "o", "noise_std": 0.1, "sampler": "map", "seed": 0, "estimate": "map"}
    a = Record("a", psnr=20.0, data_misfit=5.0, flags=["convergence"], **common)
    b, c = Record("b", data_misfit=7.0, **common), Record("c", **common).failed("out of memory")
    run = run_module.Run(RunFolder(tmp_path), [a, b, c])
    trainer = SimpleNamespace(logger=None)
    assert run_module._report(True, run, trainer) == [tmp_path / "figure.png"]
    assert run_module._report(False, run, trainer) == []
    assert report(run) == 1
    out, err = capsys.readouterr()
    assert "2 of 3 images, 1 of them with a truth" in out and "c: out of memory" in err
    assert given == {
        "images": 2,
        "failed": 1,
        "with_truth": 1,
        "map/psnr": 20,
        "map/data_misfit": 6,
        "map/flagged": 0.5,
    }


def test_a_file_of_masks_that_changed_is_another_measurement(table_of, tmp_path):
    def masked(sampler, share):
        np.save(tmp_path / "mask.npy", np.random.default_rng(0).random((16, 16)) < share)
        return ["operator=inpaint_file", f"operator.mask.path={tmp_path / 'mask.npy'}", f"sampler={sampler}"]

    few = "data.test.count=2"
    table_of(("restore", *masked("alps", 0.9), few, "sampler.schedule.steps=3"))
    table, out = table_of(("restore", *masked("sense", 0.3), few))
    assert dict(table["status"]) == {"alps": "other data than sense", "sense": "other data than alps"}
    assert "**" not in out
