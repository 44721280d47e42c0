"""Figures of restored images: what is drawn where, on which scale, with which numbers and marks."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread

from alps_exp.files import file_name
from alps_exp.report import FigureSettings, figure_tasks, read_runs, run_figure, task_figures
from alps_exp.runs import ImageResult, Record, RunFolder, collect_provenance


def make_run(path, sampler, ids=("a", "b"), *, task="blur", noise_std=0.05, failed=(), change=None, seed=0):
    """Write a run of images of 0.5 with estimates that are 0.1 off everywhere; `change` may change a result."""
    run = RunFolder(path)
    run.begin(collect_provenance(seeds={}, device="cpu", num_images=len(ids)))
    run.save_config({"labels": {"task": task, "sampler": sampler}, "seed": seed})
    names = ["map"] if sampler == "map" else ["mmse", "sample"]
    for image_id in ids:
        result = real_result(Record(image_id, task, "op", noise_std, sampler, seed, names[0], psnr=20.0), names)
        if image_id in failed:
            result.records = [record.failed("out of memory") for record in result.records]
        if change:
            change(result)
        run.save_result(image_id, result)
    run.merge_records(ids)
    run.mark_done()
    return run


def real_result(record, names):
    shown = vars(record) | {"data_misfit": 60.0}
    records = [Record(**shown | {"estimate": name, "sample_index": 0 if name == "sample" else None}) for name in names]
    truth = np.full((3, 12, 16), 0.5)
    std = np.full(truth.shape, 0.2) if "mmse" in names else None
    return ImageResult(records, truth, truth, estimates={name: truth + 0.1 for name in names}, std=std)


def off_by(error):
    def change(result):
        result.estimates = {name: result.truth + error for name in result.estimates}

    return change


def make_complex(result):
    """Turn a result into one of k-space."""
    result.truth = result.adjoint = result.truth[:1] + 0j
    result.measurement = np.zeros((4, 12, 16), complex)
    result.estimates = {name: result.truth + 0.1 for name in result.estimates}
    result.std = None if result.std is None else result.std[:1]


@pytest.fixture
def drawn(monkeypatch):
    """Return the list of the figures that would be saved."""
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: saved.append(figure))
    return saved


def draw(folder, **settings):
    chosen = FigureSettings(**settings)
    return task_figures(figure_tasks(*read_runs([folder]), chosen), folder / "figures", chosen)


def panels(figure):
    """Return the axes of the images, without color bars and insets."""
    return [axis for axis in figure.axes if axis.images and not hasattr(axis, "_colorbar")]


def titles(figure):
    return [" ".join(axis.get_title().split()) for axis in panels(figure) if axis.get_title()]


def captions(figure):
    return [axis.get_xlabel() for axis in panels(figure) if axis.get_xlabel()]


def marks(figure):
    return {axis.get_title().replace("\n", " "): [t.get_text() for t in axis.texts] for axis in panels(figure)}


def texts(figure):
    return "\n".join(text.get_text() for text in figure.texts)


def shown(figure, cmap):
    """Return the maps that are shown in a color map, and the ends of their scales."""
    images = [axis.images[-1] for axis in panels(figure) if axis.images[-1].get_cmap().name == cmap]
    maps = [image for image in images if image.get_array().ndim == 2]
    ends = {(round(image.norm.vmin, 5), round(image.norm.vmax, 5)) for image in maps}
    return [np.ma.asarray(image.get_array()) for image in maps], ends


def bars(figure):
    return [axis.get_ylabel().replace("\n", " ") for axis in figure.axes if hasattr(axis, "_colorbar")]


@pytest.mark.parametrize("complex_valued", [False, True])
def test_a_run_has_its_images_side_by_side_with_error_and_deviation(tmp_path, drawn, complex_valued):
    run = make_run(tmp_path / "run", "alps", change=make_complex if complex_valued else None)
    path = run_figure(run)
    assert path == run.path / "figure.png"
    (figure,) = drawn
    assert titles(figure) == ["a", "b"] and captions(figure) == ["PSNR 20.0 dB"] * 4
    rows = [text.get_text() for text in figure.texts if text.get_text()]
    measured = "Zero-filled" if complex_valued else "Measurement"
    assert [row for row in rows if "[" not in row] == ["Truth", measured, "Sample", "MMSE", "Error of MMSE", "Samples"]
    errors, ends = shown(figure, "inferno")
    np.testing.assert_allclose(errors, np.full((2, 12, 16), 0.1), rtol=1e-5)
    assert ends == {(0, 0.1)}
    deviations, ends = shown(figure, "viridis")
    np.testing.assert_allclose(deviations, np.full((2, 12, 16), 0.2), rtol=1e-5)
    assert ends == {(0, 0.2)}
    unit = "as magnitude" if complex_valued else "image in [−1, 1]"
    assert bars(figure)[-2:] == [f"Absolute error {unit}", f"Std. deviation {unit}"]


def test_a_run_of_one_image_has_its_estimates_side_by_side(tmp_path, drawn):
    run_figure(make_run(tmp_path / "run", "alps", ids=("a",)))
    assert titles(drawn[0]) == ["Truth", "Measurement", "ALPS sample", "ALPS MMSE"]


def test_a_run_shows_only_its_first_restored_images(tmp_path, drawn):
    run_figure(make_run(tmp_path / "run", "map", ids=("a", "b", "c", "d"), failed=("a",)), num_images=2)
    assert titles(drawn[0]) == ["b", "c"]
    with pytest.raises(ValueError, match="nothing"):
        run_figure(make_run(tmp_path / "nothing", "map", ids=("a",), failed=("a",)))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_real_images_that_are_not_rgb_are_gray(tmp_path, drawn, channels):
    def change(result):
        result.truth = np.linspace(-1, 2, channels * 192).reshape(channels, 12, 16)
        result.estimates = {"map": result.truth}

    run_figure(make_run(tmp_path / "run", "map", ids=("a",), change=change))
    truth = panels(drawn[0])[0].images[0]
    expected = np.linspace(-1, 2, channels * 192).reshape(channels, 12, 16).mean(0).clip(-1, 1)
    np.testing.assert_allclose(truth.get_array(), expected, atol=1e-6)
    assert (truth.norm.vmin, truth.norm.vmax) == (-1, 1) and bars(drawn[0])[0] == "Gray in [−1, 1]"


def test_magnitudes_share_the_scale_of_the_largest_truth(tmp_path, drawn):
    def change(result):
        make_complex(result)
        result.truth *= 1 + 3 * (result.records[0].image_id == "b")

    run_figure(make_run(tmp_path / "run", "map", change=change))
    magnitudes, ends = shown(drawn[0], "gray")
    assert len(magnitudes) == 6 and ends == {(0, 2)} and bars(drawn[0])[0] == "Magnitude"


def test_samplers_stand_side_by_side_on_one_scale_with_the_psnr_of_their_records(tmp_path, drawn):
    for psnr, (sampler, error) in enumerate({"alps": 0.1, "map": 0.2, "daps": 0.3, "My_Sampler": 0.4}.items(), 20):

        def change(result, error=error, psnr=psnr):
            off_by(error)(result)
            for record in result.records:
                record.psnr = psnr + 0.25 + (record.estimate == "sample")

        make_run(tmp_path / sampler, sampler, change=change)
    paths = draw(tmp_path, images=2)
    assert [path.name for path in paths] == ["blur.png", "blur_uncertainty.png"]
    columns = ["ALPS sample", "ALPS MMSE", "MAP", "My_Sampler MMSE", "DAPS MMSE"]
    assert titles(drawn[0]) == ["Truth", "Measurement", *columns] * 2
    assert captions(drawn[0]) == [f"PSNR {psnr} dB" for psnr in ("21.2", "20.2", "21.2", "23.2", "22.2")] * 2
    errors, ends = shown(drawn[0], "inferno")
    np.testing.assert_allclose([error.mean() for error in errors], [0.1, 0.1, 0.2, 0.4, 0.3] * 2, rtol=1e-5)
    assert ends == {(0, 0.4)}
    assert len(shown(drawn[0], "viridis")[0]) == 6


def test_errors_of_real_images_are_those_of_the_clipped_estimate(tmp_path, drawn):
    run_figure(make_run(tmp_path / "run", "map", ids=("a",), change=off_by(3.0)))
    np.testing.assert_allclose(shown(drawn[0], "inferno")[0][0], 0.5, rtol=1e-5)


def test_flags_are_marked_on_the_panel_of_their_estimate_and_explained(tmp_path, drawn):
    def change(result):
        result.record("mmse").flags = ["misfit", "convergence"]

    make_run(tmp_path / "alps", "alps", change=change)
    make_run(tmp_path / "daps", "daps")
    draw(tmp_path)
    flagged = {title: " ".join(text.split()) for title, found in marks(drawn[0]).items() for text in found}
    assert flagged == {"ALPS MMSE": "⚑ misfit, not converged"}
    framed = [axis.get_title() for axis in panels(drawn[0]) if axis.spines["left"].get_visible()]
    assert framed == ["ALPS\nMMSE"] and "⚑ not converged:" in texts(drawn[0])
    assert [title for title, found in marks(drawn[1]).items() if found] == ["ALPS"]


def test_a_hidden_box_is_outlined(tmp_path, drawn):
    def change(result):
        result.measurement[:, 2:5, 3:9] = 0

    run_figure(make_run(tmp_path / "run", "map", ids=("a",), change=change))
    truth, *others = panels(drawn[0])
    assert not truth.collections
    for axis in others:
        (border,) = (c for c in axis.collections if isinstance(c, LineCollection))
        ends = np.concatenate(border.get_segments())
        assert ends.min(0).tolist() == [2.5, 1.5] and ends.max(0).tolist() == [8.5, 4.5]
        assert len(border.get_segments()) == 2 * (3 + 6)


def zoomed(axis):
    """Return what is enlarged, and the corner (left, bottom), width and height of the frame around it."""
    (inset,) = axis.child_axes
    (frame,) = axis.patches
    return np.asarray(inset.images[0].get_array()), (*frame.get_xy(), frame.get_width(), frame.get_height())


def test_the_region_where_samples_differ_most_is_enlarged(tmp_path, drawn):
    def change(result):
        truth = np.random.default_rng(0).uniform(-1, 1, (1, 40, 48))
        result.truth, result.measurement, result.std = truth, truth, np.zeros_like(truth)
        result.estimates = {name: truth for name in result.estimates}
        result.std[:, 20:30, 31:41] = 1

    make_run(tmp_path / "alps", "alps", change=change)
    draw(tmp_path)
    pixels, frame = zoomed(panels(drawn[0])[0])
    truth = np.random.default_rng(0).uniform(-1, 1, (40, 48)).astype(np.float32)
    assert frame == (30.5, 19.5, 10, 10)
    np.testing.assert_array_equal(pixels, truth[20:30, 31:41])
    draw(tmp_path, zoom=[0, 5, 7])
    pixels, _ = zoomed(panels(drawn[2])[0])
    np.testing.assert_array_equal(pixels, truth[:7, 5:12])
    draw(tmp_path, zoom=None)
    assert not any(axis.child_axes for axis in panels(drawn[4]))


@pytest.mark.parametrize("size", [16, 160])
def test_a_measurement_of_another_size_is_not_enlarged(tmp_path, drawn, size):
    def change(result):
        result.truth = np.zeros((3, 64, 64))
        result.estimates, result.std = {name: result.truth for name in result.estimates}, None
        result.measurement = np.zeros((3, size, size))

    run_figure(make_run(tmp_path / "run", "map", ids=("a",), change=change))
    assert [len(axis.child_axes) for axis in panels(drawn[0])] == [1, 0, 1, 0]


def test_small_images_are_not_enlarged(tmp_path, drawn):
    make_run(tmp_path / "alps", "alps")
    draw(tmp_path)
    assert not any(axis.child_axes for axis in panels(drawn[0]))


def test_deviations_above_the_threshold_are_shown_over_the_mean(tmp_path, drawn):
    def change(result):
        result.std[:, :3] = 0.6

    make_run(tmp_path / "alps", "alps", change=change)
    draw(tmp_path, threshold=0.25)
    (deviations,), ends = shown(drawn[1], "viridis")
    assert np.ma.getmaskarray(deviations)[3:].all() and not np.ma.getmaskarray(deviations)[:3].any()
    np.testing.assert_allclose(deviations[:3], 0.6, rtol=1e-6)
    np.testing.assert_allclose(panels(drawn[1])[0].images[0].get_array(), 0.8, rtol=1e-6)  # 0.6 of [-1, 1]
    assert captions(drawn[1]) == ["25 % of pixels"] and ends == {(0.25, 0.6)}
    assert bars(drawn[1]) == ["Std. deviation above 0.25 (image in [−1, 1])"]


def test_kept_samples_have_their_misfit_and_variance(tmp_path, drawn):
    def change(result):
        result.samples = np.stack([np.full((3, 12, 16), value) for value in (-0.5, 0.5)])
        second = Record(**vars(result.record("sample")) | {"sample_index": 1, "data_misfit": 90.0, "flags": ["misfit"]})
        result.records.append(second)
        result.diagnostics["measured_count"] = np.array(100.0)

    make_run(tmp_path / "alps", "alps", change=change)
    make_run(tmp_path / "daps", "daps")
    paths = draw(tmp_path)
    assert paths[-1].name == "blur_samples.png"
    figure = drawn[-1]
    assert titles(figure) == ["ALPS"]
    assert captions(figure) == ["misfit 1.20", "misfit 1.80", "PSNR 20.0 dB", "variance 0.04"]
    first, second, mean, deviation = panels(figure)
    for panel, gray in ((first, 0.25), (second, 0.75)):
        np.testing.assert_allclose(panel.images[0].get_array(), gray)
    np.testing.assert_allclose(mean.images[0].get_array(), 0.8, rtol=1e-6)
    np.testing.assert_allclose(deviation.images[0].get_array(), 0.2, rtol=1e-6)
    assert [t.get_text() for t in second.texts] == ["⚑ misfit"] and not first.texts


def test_columns_and_images_are_those_that_are_named(tmp_path, drawn):
    for sampler in ("alps", "map", "My_Sampler"):
        make_run(tmp_path / sampler, sampler, ids=("a", "b", "c"))
    draw(tmp_path, images=["c", "a"], columns=["My_Sampler", "alps/sample"])
    assert titles(drawn[0]) == ["Truth", "Measurement", "My_Sampler MMSE", "ALPS sample"] * 2
    assert [text.get_text() for text in drawn[0].texts if text.get_text() in ("a", "b", "c")] == ["c", "a"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": ["alps/map"]}, "figure.columns names 'alps/map'.*alps/mmse, alps/sample"),
        ({"columns": ["Alps"]}, "figure.columns names 'Alps'"),
        ({"images": ["a", "z"]}, "figure.images names 'z'.*a, b"),
        ({"images": 0}, "figure.images must be at least 1"),
        ({"zoom": [1, 2]}, "figure.zoom"),
        ({"zoom": [10, 0, 4]}, "figure.zoom.*12 x 16"),
        ({"threshold": -1.0}, "figure.threshold"),
        ({"formats": ["jpg"]}, "figure.formats"),
        ({"formats": []}, "figure.formats"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_its_key(tmp_path, settings, message):
    make_run(tmp_path / "alps", "alps")
    with pytest.raises(ValueError, match=message):
        draw(tmp_path, **settings)


def test_many_estimates_go_on_below(tmp_path, drawn):
    for number in range(9):
        make_run(tmp_path / f"s{number}", f"s{number}", ids=("a",))
    draw(tmp_path)
    assert titles(drawn[0])[-4:] == ["s5 MMSE", "s6 MMSE", "s7 MMSE", "s8 MMSE"]
    columns = {round(axis.get_position().x0, 3) for axis in panels(drawn[0])}
    assert len(columns) == 8
    assert all(figure.get_size_inches()[0] <= 7.0 for figure in drawn)


def test_only_images_that_all_runs_restored_are_compared(tmp_path, caplog):
    make_run(tmp_path / "alps", "alps", ids=("a",))
    make_run(tmp_path / "map", "map", ids=("b",))
    assert draw(tmp_path) == [] and "no figure of blur" in caplog.text


def test_there_is_one_figure_per_task_with_the_own_samplers_first(tmp_path, drawn, caplog):
    for sampler in ("daps", "map", "alps"):
        make_run(tmp_path / sampler, sampler)
    for noise_std in (0.05, 0.1):
        make_run(tmp_path / f"mri{noise_std}", "map", task="mri/4x", noise_std=noise_std)
    make_run(tmp_path / "failed", "map", task="lost", ids=("a",), failed=("a",))
    names = [path.name for path in draw(tmp_path)]
    assert names == ["blur.png", "blur_uncertainty.png", "mri%2F4x_0.05.png", "mri%2F4x_0.1.png"]
    assert titles(drawn[0])[2:] == ["ALPS sample", "ALPS MMSE", "MAP", "DAPS MMSE"]
    assert "no figure of lost" in caplog.text


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        (([0.05, 0.1], 0.05), ["blur_0.05.png", "blur_0.05, 0.1.png"]),
        (([0.05, 0.1],), ["blur.png"]),
        ((None,), ["blur.png"]),
        ((0.01234, 0.012341), ["blur_0.01234.png", "blur_0.012341.png"]),
    ],
)
def test_figures_are_named_by_whatever_noise_there_is(tmp_path, drawn, levels, names):
    for number, noise_std in enumerate(levels):
        make_run(tmp_path / str(number), "map", noise_std=noise_std)
    assert sorted(path.name for path in draw(tmp_path)) == sorted(file_name(name, "") for name in names)


def test_of_several_seeds_the_first_is_shown(tmp_path, drawn):
    for seed in (1, 0):
        make_run(tmp_path / f"seed{seed}", "map", seed=seed, change=off_by(0.1 + seed))
    draw(tmp_path)
    np.testing.assert_allclose(shown(drawn[0], "inferno")[0], np.full((1, 12, 16), 0.1), rtol=1e-5)


def test_files_are_written_in_every_format_and_depend_on_the_figure_alone(tmp_path):
    make_run(tmp_path / "map", "map")
    paths = draw(tmp_path, formats=["png", "pdf", "svg"])
    assert [path.name for path in paths] == ["blur.png", "blur.pdf", "blur.svg"]
    assert imread(paths[0]).std() > 0.1
    contents = [path.read_bytes() for path in paths]
    assert [content[:4] for content in contents] == [b"\x89PNG", b"%PDF", b"<?xm"]
    draw(tmp_path, formats=["png", "pdf", "svg"])
    assert [path.read_bytes() for path in paths] == contents


def test_a_result_without_a_measurement_that_can_be_drawn_has_an_empty_panel(tmp_path, drawn):
    def change(result):
        result.measurement = np.zeros((5, 7)) if result.records[0].image_id == "a" else None

    run_figure(make_run(tmp_path / "run", "map", change=change))
    assert titles(drawn[0]) == ["a", "b"] and len(panels(drawn[0])) == 6


def test_data_without_a_truth_have_neither_truth_nor_error(tmp_path, drawn):
    def change(result):
        result.truth = None
        result.records = [Record(**vars(record) | {"psnr": None}) for record in result.records]

    make_run(tmp_path / "alps", "alps", change=change)
    draw(tmp_path)
    assert titles(drawn[0]) == ["Measurement", "ALPS sample", "ALPS MMSE"]
    assert bars(drawn[0]) == ["Std. deviation image in [−1, 1]"] and captions(drawn[0]) == []


def test_odd_shapes_names_and_long_warnings_fit_into_a_figure(tmp_path, drawn):
    def change(result):
        image = np.zeros((1, 3000, 1))
        result.truth, result.measurement, result.estimates, result.std = image, image, {"map": image}, None
        result.records[0].warnings = [f"{i} $\\x$" + "w" * 100_000 for i in range(100)]

    run_figure(make_run(tmp_path / "run", "map", ids=("$\\frac{1",), change=change))
    drawn[0].draw_without_rendering()
    assert max(drawn[0].get_size_inches()) < 20
    assert texts(drawn[0]).count("Warning") == 8
