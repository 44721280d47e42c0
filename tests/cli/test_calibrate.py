"""`alps calibrate`: what a run leaves, which images it restores, and that it tells calibrated from narrow samples."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from alps_exp.datasets import FirstImages, PriorSamples, ZeroImages
from alps_exp.operators import Inpainting, MultiCoilMRI
from alps_exp.priors import GaussianPrior, smooth_gaussian
from alps_exp.restoration import Calibration, Labels, RestorationSettings
from alps_exp.restoration.measuring import Measured
from alps_exp.runs import RunFolder
from alps_exp.samplers import ALPS, GeometricSchedule

GAUSSIAN = ["energy=gaussian", "teacher=gaussian", "energy.size=12", "operator=inpaint_random", "logger=none"]
SHORT = ["sampler.schedule.steps=3", "num_samples=4"]


def runs_of(folder):
    return [RunFolder(path.parent) for path in sorted(folder.rglob("calibration.json"))]


def report_of(run):
    return json.loads((run.path / "calibration.json").read_text())


@pytest.fixture
def faces(tmp_path):
    """Return the request for a folder of three images."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"face{i}.png")
    return ["data=folder", f"data.test.path={folder}", "data.test.size=16", "logger=none"]


@pytest.mark.usefixtures("drawn")
def test_a_run_leaves_its_report_and_goes_on_where_it_stopped(alps, tmp_path):
    request = ["calibrate", *GAUSSIAN, *SHORT, "count=6", "data.batch_size=4", f"output_root={tmp_path}"]
    status, out, err = alps(*request)
    assert status == 0, out + err
    (run,) = runs_of(tmp_path)
    names = {path.name for path in run.path.iterdir()}
    assert {"config.yaml", "provenance.json", "records.jsonl", "calibration.md", "calibration.png", "DONE"} <= names
    report = report_of(run)
    assert (report["task"], report["sampler"]) == ("gaussian_inpaint_random", "alps")
    assert (report["images"], report["failed"], report["samples"], report["nfe_forward"]) == (6, 0, 4, 3)
    assert report["levels"][0] == 0.1 and report["levels"][-1] == 0.95 and len(report["rank_histogram"]["value"]) == 5
    to_truth = ("spread_error", "rank_bias", "rank_dispersion", "kernel_stein_discrepancy", "stein_variance_ratio")
    of_images = ("spread_error_noiseless", "spread_error_per_image", "std_ratio", "squared_bias", "wasserstein_excess")
    for name in (*to_truth, *of_images):
        assert report[name]["low"] <= report[name]["value"] <= report[name]["high"]
    assert "| Coverage of 90 %" in out and "(n = 6)" in out and str(run.path) in out
    assert report["spread_error_noiseless"]["value"] < report["spread_error"]["value"]
    narrower = zip(report["coverage_noiseless"]["value"], report["coverage"]["value"], strict=True)
    assert all(without < with_noise for without, with_noise in narrower)

    kept = run.image_path("prior0000")
    written = kept.stat().st_mtime_ns
    for lost in (run.image_path("prior0002"), run.path / "calibration.json", run.path / "DONE"):
        lost.unlink()
    assert alps(*request)[0] == 0
    assert report_of(run) | {"seconds": 0} == report | {"seconds": 0}
    assert kept.stat().st_mtime_ns == written and run.is_done()


def test_images_of_a_network_are_drawn_by_the_generator_whatever_the_batch(alps, faces, models, tmp_path):
    draw = [*faces, *models, *SHORT, "generator.schedule.steps=2", "count=4"]
    truths = []
    for size in (4, 3):
        status, out, err = alps("calibrate", *draw, f"data.batch_size={size}", f"output_root={tmp_path / str(size)}")
        assert status == 0, out + err
        (run,) = runs_of(tmp_path / str(size))
        truths.append([run.load_result(f"draw{i:04d}").truth for i in range(4)])
    np.testing.assert_allclose(truths[0], truths[1], atol=1e-4)
    assert np.std(truths[0], axis=0).min() > 0
    assert "coverage_noiseless" not in report_of(run)  # the drawn images have the noise that it leaves out


def test_images_of_the_data_are_its_first_ones(alps, faces, models, tmp_path):
    status, out, err = alps("calibrate", *faces, *models, *SHORT, "images=data", "count=2", f"output_root={tmp_path}")
    assert status == 0, out + err
    (run,) = runs_of(tmp_path)
    assert [record.image_id for record in run.records() if record.estimate == "mmse"] == ["face0", "face1"]
    pixels = np.asarray(Image.open(tmp_path / "images" / "face1.png")).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(run.load_result("face1").truth, pixels, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["num_samples=1"], "num_samples.* 2.* 1"),
        (["count=0"], "count.* 1.* 0"),
        (["sampler=map"], "MAP.*spread"),
        (["images=data", "data=prior", "count=17"], "count.* 1 .*16.* 17"),
        (["images=other"], "images.*'other'.*prior, data"),
        (["generator.schedule.stepps=3"], "generator.schedule.stepps.*generator.schedule.steps\\b"),
    ],
)
def test_wrong_requests_get_one_line_and_status_two(alps, tmp_path, arguments, message):
    status, _, err = alps("calibrate", *GAUSSIAN, f"output_root={tmp_path}", *arguments)
    lines = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert status == 2 and len(lines) == 1 and re.search(message, lines[0])


def test_an_image_that_fails_is_named_and_the_rest_reported(alps, tmp_path):
    wild = ["sampler=dps", "sampler.step_size=1e30", "sampler.schedule.scales=3", "teacher.size=12", "num_samples=2"]
    status, _, err = alps("calibrate", *GAUSSIAN, *wild, "count=2", f"output_root={tmp_path}")
    assert status == 1 and "failed: prior0000: " in err
    assert not list(tmp_path.rglob("calibration.json"))


@pytest.mark.usefixtures("drawn")
def test_narrow_samples_are_told_from_calibrated_ones_in_one_table(alps, tmp_path):
    sweep = ["sampler.noise=calibrated,independent", "sampler.annealing=static", "sampler.schedule.sigma_min=0.01"]
    several = ["count=24", "num_samples=9", "sampler.schedule.steps=60", f"output_root={tmp_path}"]
    assert alps("calibrate", "-m", *GAUSSIAN, *sweep, *several)[0] == 0
    status, out, err = alps("table", f"runs={tmp_path}", f"output={tmp_path / 'table'}", "figures=false")
    assert status == 0, out + err
    written = {path.name for path in (tmp_path / "table").iterdir()}
    assert {"calibration.md", "calibration.csv", "calibration.tex", "calibration.png", "table.md"} <= written
    table = pd.read_csv(tmp_path / "table" / "calibration.csv").set_index("sampler")
    calibrated, narrow = table.loc["alps (noise=calibrated)"], table.loc["alps (noise=independent)"]
    assert calibrated.coverage_90 == pytest.approx(0.9, abs=0.03)
    assert narrow.coverage_90_high < 0.87
    assert calibrated.spread_error == pytest.approx(1, abs=0.1) and narrow.spread_error < 0.85
    assert calibrated.stein_variance_ratio == pytest.approx(1, abs=0.1) and narrow.stein_variance_ratio < 0.7
    assert "0 %" in (tmp_path / "table" / "calibration.md").read_text()


def calibration(prior, operator, tmp_path, generator=None):
    sampler = ALPS(GeometricSchedule(steps=3))
    settings = RestorationSettings(Labels("task", "operator", "sampler"), num_samples=2, seed=0)
    return Calibration(prior, operator, sampler, RunFolder(tmp_path), settings, generator)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_the_posterior_score_is_the_gradient_of_the_log_posterior(tmp_path, complex_valued):
    torch.manual_seed(0)
    dtype = torch.complex128 if complex_valued else torch.float64
    single = smooth_gaussian(size=4)
    prior = GaussianPrior(single.mean.to(dtype), single.covariance.to(dtype))
    x = torch.randn(3, 2, 1, 4, 4, dtype=dtype).requires_grad_()
    mask = (torch.rand(2, 1, 1, 4) < 0.5).float()
    if complex_valued:
        operator = MultiCoilMRI(mask, torch.randn(2, 3, 4, 4, dtype=x.dtype), noise_std=0.2)
    else:
        operator = Inpainting(mask.expand(2, 1, 4, 4), noise_std=0.2)
    y = operator.measure(x[0].detach(), torch.randn(operator.measurement_shape(x[0].shape), dtype=x.dtype))
    module = calibration(prior, operator, tmp_path)
    t = module.sampler.last_scale
    log_density = -(prior.energy(x, t) / t**2 + operator.misfit(x, y)).sum()
    (expected,) = torch.autograd.grad(log_density, x)
    assert torch.allclose(
        module._posterior_scores(x.detach(), Measured({"image_id": ["a", "b"]}, operator, y)), expected, rtol=1e-6
    )


def test_an_image_is_not_drawn_with_the_noise_that_restores_it(tmp_path):
    """Where nothing is measured, and the sampler draws the image itself, the noise alone parts sample from truth."""
    prior = smooth_gaussian(size=12)
    nothing = Inpainting(torch.zeros(1, 1, 12, 12), noise_std=0.1)
    module = calibration(prior, nothing, tmp_path, generator=ALPS(GeometricSchedule(steps=3)))
    module.predict_step({"image": torch.zeros(1, 1, 12, 12), "image_id": ["a"]}, 0)
    result = module.folder.load_result("a")
    correlations = [np.corrcoef(result.truth.ravel(), sample.ravel())[0, 1] for sample in result.samples]
    assert np.abs(correlations).max() < 0.7


def test_parts_and_places_of_a_dataset(monkeypatch):
    whole = PriorSamples(smooth_gaussian(size=4, complex_valued=True), count=5)
    first = FirstImages(whole, 2)
    assert (len(first), first.image_ids, first.index) == (2, whole.image_ids[:2], whole.index[:2])
    assert torch.equal(first[1]["image"], whole[1]["image"])
    with pytest.raises(IndexError):
        first[2]
    monkeypatch.setattr(PriorSamples, "index", [*whole.index, "the settings of all"])
    assert FirstImages(whole, 2).index == [*whole.index[:2], "the settings of all"]
    blanks = ZeroImages(whole, 7)
    assert len(blanks) == 7 == len(set(blanks.image_ids)) and blanks.channels == 2
    assert torch.equal(blanks[6]["image"], torch.zeros(1, 4, 4, dtype=torch.complex64))
    with pytest.raises(ValueError, match="count.*1.* 5"):
        FirstImages(whole, 6)
