"""Conformal bounds in a file: what they are, when they apply, and that promises are kept on a prior in closed form."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch

import alps_exp
from alps_exp.datasets import PriorSamples
from alps_exp.estimates import Estimates
from alps_exp.evaluation.conformal import LEVELS, SCORES, conformal_factor, predictions
from alps_exp.files import checksum
from alps_exp.masks import RandomMask
from alps_exp.operators import Inpainting
from alps_exp.priors import smooth_gaussian
from alps_exp.restoration.conformal import Conformal, read_conformal, settings_of
from alps_exp.runs import DamagedFile
from alps_exp.samplers import ALPS, GeometricSchedule

SIDE, COUNT = 12, 2
NARROW = ALPS(GeometricSchedule(2.0, 0.02, 20), noise="independent", annealing="static")
"""A sampler whose spread is far too small."""


def rule(noise_std=0.1):
    return partial(Inpainting, mask=RandomMask(0.5), noise_std=noise_std)


def estimates_of(samples):
    return Estimates(samples, torch.ones(samples.shape[1]), torch.ones(samples.shape[1]))


def some(scores=None, count=19, shape=(1, SIDE, SIDE), **settings):
    scores = dict.fromkeys(SCORES, [float(i) for i in range(1, count + 1)]) | (scores or {})
    return Conformal("bounds.json", scores, [f"{i}" for i in range(count)], [list(shape)], settings)


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the file of a calibration on draws of a Gaussian prior, and the prior."""
    from alps_exp.cli.calibrate import _write_bounds
    from alps_exp.restoration import Labels, RestorationSettings
    from alps_exp.restoration.calibration import Calibration
    from alps_exp.restoration.run import Run
    from alps_exp.runs import RunFolder, collect_provenance

    prior, folder = smooth_gaussian(size=SIDE), RunFolder(tmp_path_factory.mktemp("calibrated"))
    settings = RestorationSettings(Labels("task", "mask", "alps"), COUNT, seed=0)
    module = Calibration(prior, rule(), NARROW, folder, settings)
    images = PriorSamples(prior, count=59, seed=1)
    batch = {"image": torch.stack([one["image"] for one in images]), "image_id": images.image_ids}
    for image_id, result in zip(images.image_ids, module.restore(batch), strict=True):
        folder.save_result(image_id, result)
    folder.begin(collect_provenance(seeds={"seed": 0}, data_hash="of the images"))
    run = Run(folder, folder.merge_records(images.image_ids))
    return _write_bounds(run, settings_of(rule(), NARROW, prior, COUNT)), prior


def restored(path, prior, folder, count=120, seed=2, **settings):
    arguments = {"num_samples": COUNT, "figures": False, "conformal": path} | settings
    return alps_exp.restore(PriorSamples(prior, count, seed), rule(), NARROW, prior, folder, **arguments)


def test_every_promise_is_kept_for_a_sampler_that_is_far_too_sure(written, tmp_path):
    """59 images: at 0.8, 0.9, 0.95 the coverage is Beta(48, 12), Beta(54, 6), Beta(57, 3), and 120 draws of it."""
    path, prior = written
    run = restored(path, prior, tmp_path)
    records = [record for record in run.entries if record.estimate == "mmse"]
    assert run.numbers["mmse/spread_error"] < 0.87
    for i, level in enumerate(LEVELS):
        held = {
            "pixels": [record.conformal["covered"][i] >= 0.95 for record in records],
            "error": [record.error <= record.conformal["error"][i] for record in records],
            "psnr": [record.psnr >= record.conformal["psnr"][i] for record in records],
            "ssim": [record.ssim >= record.conformal["ssim"][i] for record in records],
        }
        deviation = math.sqrt(level * (1 - level) * (1 / 120 + 1 / 61))
        for name, each in held.items():
            assert abs(np.mean(each) - level) < 3 * deviation, (name, level)


def test_results_hold_half_widths_around_the_mean(written, tmp_path):
    path, prior = written
    run = restored(path, prior, tmp_path, count=2)
    result = run.folder.load_result(run.entries[0].image_id)
    bounds = result.record("mmse").conformal
    factors = [conformal_factor(json.loads(path.read_text())["scores"]["pixels"], level) for level in LEVELS]
    for half_width, factor in zip(result.half_width, factors, strict=True):
        np.testing.assert_allclose(half_width, factor * result.std, rtol=1e-5)
    inside = np.abs(result.truth - result.estimates["mmse"]) <= result.half_width
    assert bounds["covered"] == pytest.approx(inside.mean((1, 2, 3)).tolist())
    assert bounds["half_width"] == pytest.approx(result.half_width.mean((1, 2, 3)).tolist())
    assert bounds["images"] == 59 and bounds["levels"] == list(LEVELS)
    assert all(record.conformal is None for record in result.records if record.estimate == "sample")


def test_bounds_are_those_of_the_formulas():
    samples = drawn(0, 3, 2, 1, SIDE, SIDE)
    found = some(count=99).bounds(estimates_of(samples), None)
    predicted = predictions(estimates_of(samples))
    for i, one in enumerate(found):
        assert one.numbers["covered"] is None and one.warnings == []
        for position, factor in enumerate((80, 90, 95)):
            assert one.numbers["error"][position] == pytest.approx(factor * float(predicted["error"][i]))
            assert one.numbers["psnr"][position] == pytest.approx(float(predicted["psnr"][i]) - factor)
            assert torch.allclose(one.half_width[position], factor * samples.std(0)[i])


def test_too_few_images_give_no_bound_and_say_so():
    samples, truth = drawn(0, 3, 1, 1, SIDE, SIDE), drawn(1, 1, 1, SIDE, SIDE)
    (found,) = some(count=18).bounds(estimates_of(samples), truth)
    assert found.warnings == ["no conformal bound at 95 %: 18 calibration images, and it takes 19"]
    for name in ("half_width", "error", "psnr", "ssim"):
        assert found.numbers[name][2] is None and found.numbers[name][1] is not None
    assert found.half_width[2].isinf().all() and found.numbers["covered"][2] == 1
    constant, _ = some(count=3).bounds(estimates_of(torch.zeros(3, 2, 1, SIDE, SIDE)), None)
    assert constant.half_width.isinf().all() and len(constant.warnings) == 3


def test_an_image_of_the_calibration_is_named():
    samples, truth = drawn(0, 3, 2, 1, SIDE, SIDE), drawn(1, 2, 1, SIDE, SIDE)
    bounds = some(count=1)
    known = Conformal(bounds.path, bounds.scores, [checksum(truth[1].numpy())], bounds.shapes, {})
    fresh, used = known.bounds(estimates_of(samples), truth)
    assert not any("calibration images, of which" in warning for warning in fresh.warnings)
    assert "it is one of the calibration images, of which the conformal bounds say nothing" in used.warnings


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="these images are 1 x 12 x 12, and those of bounds.json 1 x 16 x 16"):
        some(shape=(1, 16, 16)).bounds(estimates_of(drawn(0, 3, 1, 1, SIDE, SIDE)), None)


OTHER_PRIOR = smooth_gaussian(size=SIDE, length=1.0)
OTHER = [
    (dict(operator=rule(0.2)), "operator.noise_std is 0.1 there, 0.2 in this request"),
    (
        dict(operator=partial(Inpainting, mask=RandomMask(0.6), noise_std=0.1)),
        "operator.mask.fraction is 0.5 there, 0.6",
    ),
    (
        dict(sampler=ALPS(GeometricSchedule(2.0, 0.02, 21), noise="independent", annealing="static")),
        "sampler.schedule.steps is 20 there, 21",
    ),
    (dict(num_samples=3), "num_samples is 2 there, 3"),
    (dict(prior=OTHER_PRIOR), "weights is "),
    (dict(sampler=ALPS(), num_samples=3), "more"),
]


@pytest.mark.parametrize(("change", "told"), OTHER, ids=lambda value: value if isinstance(value, str) else "")
def test_bounds_of_other_settings_are_refused(written, change, told):
    path, prior = written
    request = {"operator": rule(), "sampler": NARROW, "prior": prior, "num_samples": COUNT}
    read_conformal(path).check_settings(settings_of(**request))
    with pytest.raises(ValueError, match=f"{path.name} is of other settings: .*{told}.*: calibrate with"):
        read_conformal(path).check_settings(settings_of(**(request | change)))


def test_micro_batches_do_not_matter(written):
    path, prior = written
    sampler = ALPS(GeometricSchedule(2.0, 0.02, 20), noise="independent", annealing="static", micro_batch=7)
    read_conformal(path).check_settings(settings_of(rule(), sampler, prior, COUNT))


def test_antithetic_samples_are_off_by_default_and_refused(written, tmp_path):
    path, prior = written
    run = restored(path, prior, tmp_path, count=1)
    assert not run.entries[0].antithetic
    with pytest.raises(ValueError, match="independent samples: give antithetic=false"):
        restored(path, prior, tmp_path / "other", count=1, antithetic=True)


def test_another_file_of_bounds_is_another_request(written, tmp_path):
    path, prior = written
    copy = tmp_path / "bounds.json"
    copy.write_bytes(path.read_bytes())
    restored(copy, prior, tmp_path / "run", count=1)
    copy.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="conformal checkpoint .* before, .* now"):
        restored(copy, prior, tmp_path / "run", count=1)


ODD = [
    (lambda values: "7", "it is of type int"),
    (lambda values: "[" * 100_000, "recursion"),
    (lambda values: json.dumps({"scores": {}}), "guarantee is missing"),
    (lambda values: json.dumps(values | {"scores": values["scores"] | {"psnr": [1.0]}}), "psnr has not one score"),
    (lambda values: json.dumps(values | {"scores": values["scores"] | {"psnr": [math.nan] * 59}}), "not finite"),
]


@pytest.mark.parametrize(("text", "told"), ODD, ids=lambda value: str(value)[:12])
def test_a_file_of_anybody_is_checked(written, tmp_path, text, told):
    path, _ = written
    odd = tmp_path / "odd.json"
    odd.write_text(text(json.loads(path.read_text())))
    with pytest.raises(DamagedFile, match=told):
        read_conformal(odd)
