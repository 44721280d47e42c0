import numpy as np
import pytest
from matplotlib.image import imread

from alps_exp.report import figures, run_figure, task_figure, task_figures
from alps_exp.runs import ImageResult, Record, RunFolder, collect_provenance


def make_run(
    path, sampler, ids=("a", "b"), task="blur", complex_valued=False, failed=(), noise_std=0.05, error=0.1, channels=3
):
    """Write a run whose estimates are off by `error` everywhere."""
    run = RunFolder(path)
    run.begin(collect_provenance(seeds={}, device="cpu", num_images=len(ids)))
    channels, dtype = (1, complex) if complex_valued else (channels, float)
    truth = np.zeros((channels, 12, 16), dtype) + 0.5
    names = ["map"] if sampler == "map" else ["sample", "mmse"]
    for image_id in ids:
        records = [Record(image_id, task, "op", noise_std, sampler, 0, name, psnr=20.0) for name in names]
        result = ImageResult(
            [r.failed("out of memory") if image_id in failed else r for r in records],
            truth=truth,
            measurement=np.zeros((4, 12, 16), complex) if complex_valued else truth,
            adjoint=truth if complex_valued else None,
            estimates={name: truth + error for name in names},
            std=None if sampler == "map" else np.full(truth.shape, 0.2),
        )
        run.save_result(image_id, result)
    run.merge_records(ids)
    run.mark_done()
    return run


@pytest.fixture
def drawn(monkeypatch):
    """Return the list of the figures that are saved."""
    saved = []
    save = figures.save_figure

    def keep(figure, path):
        saved.append(figure)
        return save(figure, path)

    monkeypatch.setattr(figures, "save_figure", keep)
    monkeypatch.setattr(figures, "_DPI", 50)
    return saved


def titles(figure):
    return [axis.get_title().replace("\n", " ") for axis in figure.axes if axis.get_title()]


def shown(figure, cmap):
    """Return the maps that are shown in a color map, and the upper ends of their scales."""
    images = [image for axis in figure.axes for image in axis.images if image.get_cmap().name == cmap]
    maps = [image for image in images if image.get_array().ndim == 2]
    return [np.asarray(image.get_array()) for image in maps], [image.norm.vmax for image in maps]


@pytest.mark.parametrize("complex_valued", [False, True])
def test_a_run_has_a_row_per_image_with_error_and_deviation(tmp_path, drawn, complex_valued):
    run = make_run(tmp_path / "run", "alps", complex_valued=complex_valued)
    path = run_figure(run)
    assert path == run.path / "figure.png" and imread(path).std() > 0
    measured = "Zero-filled" if complex_valued else "Measurement"
    first = ["Sample 20.0 dB", "MMSE 20.0 dB", "Absolute error of MMSE", "Standard deviation of samples"]
    second = ["Truth", measured, "20.0 dB", "20.0 dB"]
    assert titles(drawn[0]) == ["Truth", measured, *first, *second]
    assert [axis.get_ylabel() for axis in drawn[0].axes if axis.get_ylabel()] == ["a", "b"]
    errors, _ = shown(drawn[0], "inferno")
    np.testing.assert_allclose(errors, np.full((2, 12, 16), 0.1), rtol=1e-5)
    deviations, _ = shown(drawn[0], "viridis")
    np.testing.assert_allclose(deviations, np.full((2, 12, 16), 0.2), rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_real_images_of_any_number_of_channels_are_shown(tmp_path, drawn, channels):
    run_figure(make_run(tmp_path / "run", "map", ids=("a",), channels=channels))
    truth, measured, estimate = (axis.images[0].get_array() for axis in drawn[0].axes[:3])
    np.testing.assert_allclose([truth, measured, estimate - 0.05], np.full((3, 12, 16, 3), 0.75))


def test_a_run_shows_only_its_first_restored_images(tmp_path, drawn):
    run = make_run(tmp_path / "run", "map", ids=("a", "b", "c", "d"), failed=("a",))
    run_figure(run, num_images=2)
    assert [axis.get_ylabel() for axis in drawn[0].axes if axis.get_ylabel()] == ["b", "c"]
    nothing = make_run(tmp_path / "nothing", "map", ids=("a",), failed=("a",))
    with pytest.raises(ValueError, match="nothing"):
        run_figure(nothing)


def test_samplers_stand_side_by_side_on_one_color_scale(tmp_path, drawn):
    samplers = {"alps": 0.1, "map": 0.2, "daps": 0.3, "dps": 0.4}
    runs = [make_run(tmp_path / sampler, sampler, error=error) for sampler, error in samplers.items()]
    path = task_figure("blur", runs, tmp_path / "blur.png", num_images=2)
    assert imread(path).std() > 0
    columns = ["ALPS sample", "ALPS MMSE", "MAP", "DAPS MMSE", "DPS MMSE"]
    assert titles(drawn[0]) == ["Truth", "Measurement", *(f"{name} 20.0 dB" for name in columns)] * 2
    errors, scales = shown(drawn[0], "inferno")
    np.testing.assert_allclose([error.mean() for error in errors], [0.1, 0.1, 0.2, 0.3, 0.4] * 2, rtol=1e-5)
    np.testing.assert_allclose(scales, 0.4, rtol=1e-5)
    deviations, scales = shown(drawn[0], "viridis")
    assert len(deviations) == 6 and len(set(scales)) == 1


def test_errors_of_real_images_are_those_of_the_clipped_estimate(tmp_path, drawn):
    run_figure(make_run(tmp_path / "run", "map", ids=("a",), error=3.0))
    np.testing.assert_allclose(shown(drawn[0], "inferno")[0][0], 0.5, rtol=1e-5)


def test_only_images_that_all_runs_restored_are_compared(tmp_path):
    runs = [make_run(tmp_path / "alps", "alps", ids=("a",)), make_run(tmp_path / "map", "map", ids=("b",))]
    with pytest.raises(ValueError, match="blur.* 2 runs"):
        task_figure("blur", runs, tmp_path / "blur.png")


def test_there_is_one_figure_per_task_with_the_own_samplers_first(tmp_path, drawn, caplog):
    for sampler in ("daps", "map", "alps"):
        make_run(tmp_path / "runs" / sampler, sampler)
    for noise_std in (0.05, 0.1):
        make_run(tmp_path / "runs" / f"mri{noise_std}", "map", task="mri/4x", noise_std=noise_std)
    make_run(tmp_path / "runs" / "failed", "map", task="lost", ids=("a",), failed=("a",))
    paths = task_figures([tmp_path / "runs"], tmp_path)
    assert [path.name for path in paths] == ["blur.png", "mri%2F4x_0.05.png", "mri%2F4x_0.1.png"]
    assert titles(drawn[0])[2:] == [f"{n} 20.0 dB" for n in ("ALPS sample", "ALPS MMSE", "MAP", "DAPS MMSE")]
    assert "no figure of lost" in caplog.text


def test_a_result_without_a_measurement_that_can_be_drawn_has_an_empty_panel(tmp_path, drawn):
    run = make_run(tmp_path / "run", "map", ids=("a", "b"))
    for image_id, measurement in (("a", np.zeros((5, 7))), ("b", None)):
        result = run.load_result(image_id)
        result.measurement = measurement
        run.save_result(image_id, result)
    run_figure(run)
    assert len(drawn[0].axes[1].images) == len(drawn[0].axes[5].images) == 0


def test_odd_shapes_and_long_warnings_fit_into_a_figure(tmp_path, drawn):
    run = make_run(tmp_path / "run", "map", ids=("a",))
    result, image = run.load_result("a"), np.zeros((1, 3000, 1))
    result.truth, result.measurement, result.estimates, result.std = image, image, {"map": image}, None
    result.records[0].warnings = [f"{i} $\\x$" + "w" * 100_000 for i in range(100)]
    run.save_result("a", result)
    run_figure(run)
    assert max(drawn[0].get_size_inches()) < 20
    assert drawn[0].get_supxlabel().count("Warning") == 8
