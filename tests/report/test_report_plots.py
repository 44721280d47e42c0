"""Plots of curves and points: colors, marks, legends and notes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from alps_exp.report import calibration_figure, convergence_figure, pareto_figure, steps_figure
from alps_exp.report.names import sampler_colors


@pytest.fixture
def drawn(monkeypatch):
    """Return the list of the figures that would be saved."""
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: saved.append(figure))
    return saved


def row(sampler, psnr, calls, **changes):
    entries = {"task": "blur", "noise_std": 0.05, "sampler": sampler, "estimate": "mmse", "images": 3, "samples": 2}
    numbers = {"psnr": psnr, "nfe_forward": calls, "nfe_vjp": 0.0, "seconds": 1.0}
    return entries | numbers | {"flagged": 0, "compared": True, "status": "ok"} | changes


def points(axis):
    """Return (x, y), color, shape and whether they are full, of the marks."""
    marks = [line for line in axis.lines if line.get_marker() in ("o", "X")]
    return {
        (line.get_xdata()[0], line.get_ydata()[0]): (
            to_hex(line.get_color()),
            line.get_marker(),
            line.get_markerfacecolor() != "none",
        )
        for line in marks
    }


def legend(figure):
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def test_points_have_the_color_of_their_sampler_and_the_mark_of_their_estimate(tmp_path, drawn):
    rows = [
        row("alps", 20.0, 10),
        row("alps", 18.0, 10, estimate="sample"),
        row("_Mine", 22.0, 40, flagged=1),
        row("_Mine", 19.0, 40, estimate="sample", flagged=2),
    ]
    assert pareto_figure(pd.DataFrame(rows), tmp_path / "pareto.png") == [tmp_path / "pareto.png"]
    (figure,) = drawn
    calls, seconds = figure.axes
    alps, mine = sampler_colors(["alps"])["alps"], sampler_colors(["_Mine"])["_Mine"]
    expected = {(20, 20): (alps, "o", True), (10, 18): (alps, "o", False)}
    expected |= {(80, 22): (mine, "X", True), (40, 19): (mine, "X", False)}
    assert points(calls) == expected
    assert set(points(seconds)) == {(1.0, 20), (0.5, 18), (1.0, 22), (0.5, 19)}
    ordered = sorted(calls.lines, key=lambda line: line.zorder)
    assert [line.get_marker() for line in ordered] == ["None", "o", "o", "X", "X"]
    line = ordered[0]
    np.testing.assert_array_equal(line.get_xydata(), [[10, 18], [20, 20]])
    assert legend(figure)[:2] == ["ALPS", "_Mine"] and len(legend(figure)) == 6
    assert calls.get_title(loc="left") == "blur, noise 0.05, means over 3 images"


def test_what_is_over_other_images_has_no_point_and_is_named(tmp_path, drawn, caplog):
    other = row("daps", 30.0, 5, compared=False, status="other images than alps (2 of 3 in common)")
    pareto_figure(pd.DataFrame([row("alps", 20.0, 10), other]), tmp_path / "pareto.png")
    assert [y for _, y in points(drawn[0].axes[0])] == [20.0]
    note = drawn[0].get_supxlabel().replace("\n", " ")
    assert "daps on blur (other images than alps (2 of 3 in common))" in note
    assert pareto_figure(pd.DataFrame([other]), tmp_path / "none.png") == [] and "daps" in caplog.text


def report(sampler, **changes):
    coverage = {"value": [0.4, 0.8], "low": [0.3, 0.7], "high": [0.5, None]}
    shares = {"value": [0.2, 0.3, 0.5], "low": [None] * 3, "high": [None] * 3}
    labels = {"task": "blur", "noise_std": 0.05, "sampler": sampler, "images": 4, "failed": 0, "samples": 2}
    return labels | {"levels": [0.5, 0.9], "coverage": coverage, "rank_histogram": shares} | changes


def test_calibration_has_a_curve_and_a_histogram_in_the_color_of_each_sampler(tmp_path, drawn):
    calibration_figure([report("alps"), report("Mine", failed=2)], tmp_path / "calibration.png")
    coverage, ranks = drawn[0].axes
    colors = sampler_colors(["alps", "Mine"])
    curves = {to_hex(line.get_color()): line.get_xydata().tolist() for line in coverage.lines[1:]}
    assert curves == dict.fromkeys(colors.values(), [[0.5, 0.4], [0.9, 0.8]])
    stairs = [patch for patch in ranks.patches if not patch.get_fill()]
    np.testing.assert_allclose(stairs[0].get_data().values, [0.6, 0.9, 1.5])
    assert [to_hex(patch.get_edgecolor()) for patch in stairs] == list(colors.values())
    assert legend(drawn[0]) == ["ALPS", "Mine", "calibrated"] and "Mine on blur: 2 failed" in drawn[0].get_supxlabel()


def test_convergence_has_a_line_for_each_image(tmp_path, drawn):
    rows = [
        {"image_id": i, "step": step, "scale": 2.0 / (step + 1), "misfit": misfit + step, "acceptance": None}
        for i, misfit in (("_a", 1.0), ("$b_1$", 3.0))
        for step in range(3)
    ]
    assert convergence_figure(rows, str(tmp_path / "convergence.svg")) == tmp_path / "convergence.svg"
    (axis,) = drawn[0].axes
    assert [line.get_ydata().tolist() for line in axis.lines[:2]] == [[1, 2, 3], [3, 4, 5]]
    assert legend(drawn[0]) == ["_a", "$b_1$"] and drawn[0].get_size_inches()[0] == 3.4
    drawn[0].draw_without_rendering()
    with pytest.raises(ValueError, match=r"'\.jpg', expected one of png, pdf, svg"):
        convergence_figure(rows, tmp_path / "convergence.jpg")


def steps(count, denoised=True):
    return [
        {
            "step": 2 * i,
            "scale": 1.0 / (i + 1),
            "misfit": 2153.0 / (i + 1),
            "x": np.full((1, 6, 6), i / count, complex),
            "d": np.full((1, 6, 6), 0.5 * i / count, complex) if denoised else None,
        }
        for i in range(count)
    ]


def test_steps_are_evenly_apart_with_scale_and_misfit(tmp_path, drawn):
    steps_figure(steps(9), tmp_path / "steps.png", most=5)
    panels = [axis for axis in drawn[0].axes if axis.images]
    assert [axis.get_title() for axis in panels[:2]] == ["step 0\nt = 1", "step 4\nt = 0.33"]
    assert panels[0].get_xlabel() == "misfit 2150"
    values = [axis.images[0].get_array()[0, 0] for axis in panels]
    np.testing.assert_allclose(values, [0, 2 / 9, 4 / 9, 6 / 9, 8 / 9, 0, 1 / 9, 2 / 9, 3 / 9, 4 / 9])
    assert {axis.images[0].norm.vmax for axis in panels} == {8 / 9}


def test_steps_without_denoised_images_are_a_single_row(tmp_path):
    path = steps_figure(steps(1, denoised=False), tmp_path / "steps.png")
    assert imread(path).std() > 0
    with pytest.raises(ValueError, match="without images"):
        steps_figure([], path)
