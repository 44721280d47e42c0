import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alps_exp.intervals import rms_ratio_interval
from alps_exp.report import build_table, display_table, to_latex, to_markdown, write_tables
from alps_exp.runs import ImageResult, Record, RunFolder, collect_provenance


def record(image_id, estimate="mmse", sampler="alps", psnr=20.0, **changes):
    values: dict[str, Any] = {
        "seed": 0,
        "ssim": 0.5,
        "nmse": 0.1,
        "nfe_forward": 50,
        "nfe_vjp": 50,
        "seconds": 2.0,
    }
    values |= {"task": "blur", "operator": "gaussian_blur", "noise_std": 0.05, "num_samples": 4} | changes
    return Record(image_id, sampler=sampler, estimate=estimate, psnr=psnr, **values)


def make_run(path, records, done=True, asked=None, config=None):
    """Write a run folder with these records."""
    run = RunFolder(path)
    ids = list(dict.fromkeys(r.image_id for r in records))
    run.save_config(config or {"sampler": {"name": "alps"}, "seed": 0})
    run.begin(collect_provenance(seeds={}, device="cpu", num_images=asked or len(ids)))
    for image_id in ids:
        run.save_result(image_id, ImageResult([r for r in records if r.image_id == image_id]))
    if done:
        run.merge_records(ids)
        run.mark_done()
    return run


def only_row(path):
    table = build_table([path])
    assert len(table) == 1
    return table.iloc[0]


def test_means_are_over_images_after_their_samples(tmp_path):
    """Image a: samples of 10 and 14 dB, mean 12; image b: 20 dB twice; mean 16, deviation 8 / sqrt(2)."""
    values = {"a": (10.0, 14.0), "b": (20.0, 20.0)}
    records = [
        record(image_id, "sample", psnr=psnr, sample_index=i, seconds=seconds)
        for (image_id, samples), seconds in zip(values.items(), (2.0, 4.0), strict=True)
        for i, psnr in enumerate(samples)
    ]
    make_run(tmp_path / "run", records)
    row = only_row(tmp_path)
    assert (row["images"], row["samples"], row["status"]) == (2, 4, "ok")
    assert row["psnr"] == pytest.approx(16)
    assert row["psnr_std"] == pytest.approx(8 / math.sqrt(2))
    assert row["seconds"] == pytest.approx(3)
    assert (row["nfe_forward"], row["nfe_vjp"]) == (50, 50)
    assert math.isnan(row["spread_error"])


def test_perceptual_distances_have_a_column_where_they_were_measured_and_the_lowest_is_best(tmp_path):
    make_run(tmp_path / "alps", [record("a", lpips=0.2)])
    assert "LPIPS" not in to_markdown(build_table([tmp_path / "alps"]).assign(lpips=float("nan")))
    make_run(tmp_path / "daps", [record("a", sampler="daps", lpips=0.3)])
    text = to_markdown(build_table([tmp_path]))
    assert "LPIPS" in text and "**0.200**" in text and "**0.300**" not in text


def test_seeds_are_averaged_first_so_that_an_image_counts_once(tmp_path):
    """Two seeds of image a (10, 14), one of b (20): 16, where a plain mean of the three says 14.67."""
    make_run(tmp_path / "0", [record("a", psnr=10.0), record("b", psnr=20.0)], config={"seed": 0})
    make_run(tmp_path / "1", [record("a", psnr=14.0, seed=1)], config={"seed": 1})
    row = only_row(tmp_path)
    assert (row["images"], row["psnr"]) == (2, pytest.approx(16))


def test_spread_over_error_is_told_image_by_image_and_without_the_last_noise(tmp_path):
    """Ratios 0.5, 1, 2, ... of images of any width; the slices of a volume are one unit."""
    share = {"slices": 2, "reference": "RSS", "pixels": 1.0, "squared_error": 1.0, "squared_reference": 1.0}
    made = []
    for i in range(12):
        numbers = {"spread": 2.0 ** (i % 6), "error": 2.0, "spread_noiseless": 0.5, "error_noiseless": 1.0}
        made.append(record(f"{i:02}", volume=share | {"name": str(i % 6), "ssim": 1.0}, **numbers))
    make_run(tmp_path / "run", made)
    row = only_row(tmp_path)
    assert (row["images"], row["units"]) == (12, 6)
    relative = [2 / 2**i for i in range(6)]
    assert row["spread_error_per_image"] == pytest.approx(math.sqrt(6 / sum(ratio**2 for ratio in relative)))
    ends = [rms_ratio_interval(*map(np.array, pair)) for pair in (([1.0] * 6, relative), ([0.5] * 6, [1.0] * 6))]
    for name, (low, high) in zip(("spread_error_per_image", "spread_error_noiseless"), ends, strict=True):
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((float(low), float(high)))
    assert row["spread_error_noiseless"] == 0.5
    shown = to_markdown(build_table([tmp_path]))
    assert "Without last noise" in shown and "| 0.50 " in shown
    per_image = display_table(build_table([tmp_path]), ["spread_error_per_image"]).texts.iloc[0, 0]
    assert per_image.startswith(f"{row['spread_error_per_image']:.2f} [") and "(n = 6)" in per_image


def test_spread_over_error_is_pooled_in_squares(tmp_path):
    """sqrt(3^2 + 4^2) / sqrt(10^2 + 0^2) = 0.5, where a ratio of sums is 0.7, a mean of ratios infinite."""
    make_run(tmp_path / "run", [record("a", spread=3.0, error=10.0), record("b", spread=4.0, error=0.0)])
    assert only_row(tmp_path)["spread_error"] == pytest.approx(0.5)


def test_one_image_has_no_deviation(tmp_path):
    make_run(tmp_path / "run", [record("a", psnr=21.346)])
    assert math.isnan(only_row(tmp_path)["psnr_std"])
    text = to_markdown(build_table([tmp_path]))
    assert "| 21.35 " in text and "±" not in text


def test_failed_images_are_counted_and_not_averaged(tmp_path):
    records = [record("a", psnr=20.0), record("b", psnr=30.0)]
    records += [record(i).failed("psnr is nan") for i in ("c", "d")]
    make_run(tmp_path / "run", records)
    row = only_row(tmp_path)
    assert (row["images"], row["psnr"]) == (2, 25)
    assert row["status"] == "2 of 4 failed (psnr is nan)"


def test_an_image_with_a_failed_sample_or_without_the_estimate_has_failed(tmp_path):
    records = [record("a", "sample", sample_index=0), record("a", "sample", sample_index=1), record("a")]
    records += [
        record("b", "sample", sample_index=0),
        record("b", "sample", sample_index=1).failed("energy is nan"),
    ]
    make_run(tmp_path / "run", records)
    table = build_table([tmp_path])
    assert list(table["estimate"]) == ["sample", "mmse"]
    assert list(table["images"]) == [1, 1]
    assert list(table["status"]) == ["1 of 2 failed (energy is nan)"] * 2


def test_all_failed(tmp_path):
    make_run(tmp_path / "run", [record("a", seconds=None, nfe_forward=None, nfe_vjp=None).failed("out of memory")])
    row = only_row(tmp_path)
    assert row["images"] == 0 and math.isnan(row["psnr"]) and row["status"] == "1 of 1 failed (out of memory)"
    assert "| 0 " in to_markdown(build_table([tmp_path]))


def test_unfinished_runs_are_shown_as_such(tmp_path):
    make_run(tmp_path / "run", [record("a"), record("b").failed("out of memory")], done=False, asked=10)
    assert only_row(tmp_path)["status"] == "1 of 2 failed (out of memory); unfinished: 2 of 10 images"
    make_run(tmp_path / "other", [record("c", seed=1)], config={"sampler": {"name": "alps"}, "seed": 1})
    assert only_row(tmp_path)["status"] == (
        "1 of 3 failed (out of memory); 2 of 2 without some of the seeds; unfinished: 3 of 11 images"
    )


def test_a_run_without_any_record_has_its_row(tmp_path):
    make_run(tmp_path / "good", [record("a")])
    make_run(tmp_path / "killed", [], done=False, asked=4)
    table = build_table([tmp_path])
    assert list(table["status"]) == ["ok", "no records: killed"]
    assert table["task"][1].endswith("killed")


def test_a_run_that_was_asked_for_and_never_begun_has_its_row(tmp_path):
    make_run(tmp_path / "good", [record("a")])
    labels = {"task": "blur", "operator": "gaussian_blur", "sampler": "daps"}
    RunFolder(tmp_path / "waiting").save_config({"labels": labels, "operator": {"noise_std": 0.1}})
    table = build_table([tmp_path])
    assert table.loc[1, ["task", "noise_std", "sampler", "status"]].to_list() == [
        *("blur", 0.1, "daps"),
        "not begun: waiting",
    ]
    assert pd.isna(table["images"][1]) and table["psnr"][0] == 20
    assert "| not begun [1] |" in to_markdown(table) and "\n1. not begun: waiting\n" in to_markdown(table)
    assert r"daps\textsuperscript{1} &" in to_latex(table) and "~not begun: waiting." in to_latex(table)


def test_configs_of_anything_else_are_no_rows(tmp_path):
    make_run(tmp_path / "good", [record("a")])
    for i, text in enumerate(["runs: outputs", "labels: {value: {task: a}}", "labels: task", "a: [", "just text"]):
        (tmp_path / f"{i}").mkdir()
        (tmp_path / f"{i}" / "config.yaml").write_text(text)
    assert len(build_table([tmp_path])) == 1


def test_runs_that_restore_nothing_are_no_rows(tmp_path):
    make_run(tmp_path / "good", [record("a")])
    RunFolder(tmp_path / "training").begin(collect_provenance(seeds={}, device="cpu"))
    assert len(build_table([tmp_path])) == 1


def test_settings_that_differ_are_told_apart_and_the_machine_is_not(tmp_path):
    for i, (noise, workers) in enumerate([("calibrated", 1), ("calibrated", 2), ("none", 1)]):
        config = {"sampler": {"noise": noise, "scales": 50}, "data": {"num_workers": workers}, "seed": i}
        make_run(tmp_path / str(i), [record("a", psnr=20.0 + i, seed=i)], config=config)
    table = build_table([tmp_path])
    assert list(table["sampler"]) == ["alps (noise=calibrated)", "alps (noise=none)"]
    assert list(table["psnr"]) == [20.5, 22]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.1 + 0.2, 0.5], ["0.3", "0.5"]),
        ([1 / 3, 0.5], ["0.3333", "0.5"]),
        ([0.30000000000000004, 0.3], ["0.3", "0.30000000000000004"]),
        ([1.23456, 1.23457], ["1.23456", "1.23457"]),
        ([1e-7 / 3, 2], ["2", "3.333e-08"]),
        ([[1 / 3, "a"], [2 / 3, "a"]], ['[0.3333, "a"]', '[0.6667, "a"]']),
        (["exp(-1)", "µ 0.123456789"], ["exp(-1)", "µ 0.123456789"]),
    ],
)
def test_labels_have_four_digits_or_as_many_as_tell_them_apart(tmp_path, values, labels):
    for i, value in enumerate(values):
        make_run(tmp_path / str(i), [record("a")], config={"sampler": {"sigma": value}, "seed": 0})
    assert sorted(build_table([tmp_path])["sampler"]) == [f"alps (sigma={label})" for label in labels]


def test_a_setting_that_a_run_lacks_is_absent(tmp_path):
    for i, sampler in enumerate([{"steps": 3}, {"steps": 3, "cosine": None}]):
        make_run(tmp_path / str(i), [record("a")], config={"sampler": sampler, "seed": 0})
    assert sorted(build_table([tmp_path])["sampler"]) == ["alps (cosine=absent)", "alps (cosine=null)"]


def test_rows_stand_by_task_noise_sampler_and_estimate(tmp_path):
    for i, (task, noise_std, sampler) in enumerate(
        [
            ("mri", 0.05, "dps"),
            ("mri", 0.05, "daps"),
            ("mri", 0.05, "map"),
            ("mri", 0.01, "map"),
            ("blur", 0.05, "alps"),
        ]
    ):
        records = [record("a", name, sampler, task=task, noise_std=noise_std) for name in ("mmse", "sample")]
        make_run(tmp_path / str(i), records)
    rows = build_table([tmp_path])[["task", "noise_std", "sampler"]].drop_duplicates().to_numpy().tolist()
    assert rows == [
        ["blur", 0.05, "alps"],
        ["mri", 0.01, "map"],
        ["mri", 0.05, "map"],
        ["mri", 0.05, "daps"],
        ["mri", 0.05, "dps"],
    ]
    assert list(build_table([tmp_path])["estimate"][:2]) == ["sample", "mmse"]


def test_a_run_given_twice_counts_once(tmp_path):
    make_run(tmp_path / "run", [record("a", spread=1.0, error=1.0)])
    twice = build_table([tmp_path, tmp_path / "run", tmp_path / "run" / ".." / "run"])
    pd.testing.assert_frame_equal(twice, build_table([tmp_path]))


@pytest.fixture
def table(tmp_path):
    make_run(tmp_path / "runs" / "a", [record("a", spread=0.1, error=0.3), record("b", psnr=24.0)])
    make_run(tmp_path / "runs" / "b", [record("a", "map", "map", task="x|y_z", num_samples=1)])
    return build_table([tmp_path / "runs"])


def test_csv_reads_back_with_all_digits(table, tmp_path):
    paths = write_tables(table, tmp_path)
    assert [path.name for path in paths] == ["table.md", "table.csv", "table.tex"]
    read = pd.read_csv(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(read, table, check_dtype=False, rtol=1e-14)


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="records.jsonl.*empty"):
        (tmp_path / "empty").mkdir()
        build_table([tmp_path / "empty"])
    with pytest.raises(ValueError, match="no folder"):
        build_table([])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_table([tmp_path / "nowhere"])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "records.jsonl").write_text("garbage\n")
    with pytest.raises(ValueError, match="line 1"):
        build_table([tmp_path / "bad"])
