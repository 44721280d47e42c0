"""The table and the figures of conformal bounds: what held, what is expected, and what is drawn."""

import math

import numpy as np
import pytest
import scipy
from matplotlib.figure import Figure

from alps_exp.report import build_conformal_table, read_runs, run_figure, write_conformal_tables
from alps_exp.report.conformal import _expected
from alps_exp.report.pixels import HALF_WIDTH, maps_of
from alps_exp.runs import ImageResult, Record, RunFolder, collect_provenance

LEVELS = [0.8, 0.9]


def bounds(covered, images=30, **values):
    known = {"half_width": [0.1, 0.2], "error": [0.05, 0.06], "psnr": [21.0, 19.0], "ssim": [0.6, None]}
    of_calibration = {"images": images, "levels": LEVELS, "pixel_share": 0.95}
    return of_calibration | known | values | {"covered": covered}


def make_run(path, covered, psnr=20.0, error=0.055, ssim=0.7):
    """Write a run of an image for each pair of covered shares; None is an image without a truth."""
    run = RunFolder(path)
    run.begin(collect_provenance(seeds={}, num_images=len(covered)))
    run.save_config({"labels": {"task": "blur", "sampler": "alps"}})
    ids = [f"image{i}" for i in range(len(covered))]
    for image_id, shares in zip(ids, covered, strict=True):
        known = {} if shares is None else {"psnr": psnr, "ssim": ssim, "error": error}
        record = Record(image_id, "blur", "blur", 0.1, "alps", 0, "mmse", conformal=bounds(shares), **known)
        image = np.zeros((3, 16, 16))
        widths = np.stack([np.full(image.shape, 0.1), np.full(image.shape, 0.2)])
        result = ImageResult([record], None if shares is None else image, image, estimates={"mmse": image})
        result.half_width, result.std = widths, np.full(image.shape, 0.05)
        run.save_result(image_id, result)
    run.merge_records(ids)
    run.mark_done()
    return run


def table_of(path):
    return build_conformal_table(*read_runs([path])).set_index("level")


def test_bounds_are_averaged_and_those_that_held_counted(tmp_path):
    make_run(tmp_path, [[0.94, 0.95], [0.96, 0.97], None])
    table = table_of(tmp_path)
    assert table["images"].tolist() == [3, 3] and table["judged"].tolist() == [2, 2]
    assert table["half_width"].tolist() == pytest.approx([0.1, 0.2]) and table["half_width_held"].tolist() == [1, 2]
    assert table["error_held"].tolist() == [0, 2] and table["psnr_held"].tolist() == [0, 2]
    assert table["ssim_held"][0.8] == 2 and math.isnan(table["ssim"][0.9]) and math.isnan(table["ssim_held"][0.9])


def test_the_expected_range_is_that_of_a_simulation():
    """How many of 50 scores are at most the k-th of 29 others, for exchangeable scores."""
    rng = np.random.default_rng(0)
    scores = rng.random((20_000, 79))
    held = (scores[:, 29:] <= np.sort(scores[:, :29], 1)[:, 26:27]).sum(1)  # k = 27 of 30
    low, high = _expected(29, 0.9, 50)
    assert (low, high) == tuple(np.quantile(held, [0.025, 0.975], method="inverted_cdf"))
    assert high - low > np.subtract(*scipy.stats.binom(50, 0.9).interval(0.95)[::-1])
    assert all(map(math.isnan, _expected(8, 0.9, 50)))


def test_the_table_says_on_how_many_images_it_rests(tmp_path):
    make_run(tmp_path / "run", [[0.94, 0.95], [0.96, 0.97]])
    table = build_conformal_table(*read_runs([tmp_path / "run"]))
    written = write_conformal_tables(table, tmp_path)
    text = written[0].read_text()
    assert "Calibration images" in text and "| 90 %" in text and "19.00 (2)" in text
    assert [path.name for path in written] == ["conformal.md", "conformal.csv", "conformal.tex"]


def test_runs_without_bounds_have_no_table(tmp_path):
    run = RunFolder(tmp_path)
    run.begin(collect_provenance(seeds={}, num_images=1))
    record = Record("a", "blur", "blur", 0.1, "alps", 0, "mmse", psnr=20.0)
    run.save_result("a", ImageResult([record], estimates={"mmse": np.zeros((1, 16, 16))}))
    run.merge_records(["a"])
    assert build_conformal_table(*read_runs([tmp_path])).empty


def test_the_figure_shows_half_widths_and_bounds(tmp_path, monkeypatch):
    run = make_run(tmp_path, [[0.94, 0.95], [0.96, 0.97]])
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: saved.append(figure))
    run_figure(run)
    labels = [text.get_text() for text in saved[0].texts]
    assert any("from 30 calibration images" in " ".join(label.split()) for label in labels)
    assert "PSNR 20.0 dB\nabove 19.0 dB" in [axis.get_xlabel() for axis in saved[0].axes]
    drawn = [axis.images[0].get_array() for axis in saved[0].axes if axis.images]
    assert sum(np.shape(array) == (16, 16) and np.allclose(array, 0.2) for array in drawn) == 2


@pytest.mark.parametrize("change", ["infinite", "another level", "none"])
def test_what_is_not_there_is_not_drawn(tmp_path, change):
    result = make_run(tmp_path, [[0.94, 0.95]]).load_result("image0")
    assert np.allclose(maps_of(result, "mmse")[HALF_WIDTH], 0.2)
    if change == "infinite":
        result.half_width[1] = np.inf
    if change == "another level":
        result.records[0].conformal["levels"] = [0.8, 0.99]
    if change == "none":
        result.half_width = None
    assert HALF_WIDTH not in maps_of(result, "mmse")
