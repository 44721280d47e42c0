"""What stands beside a table's means: bold, seeds, published numbers, paired differences, flags, the Pareto figure."""

import json
import math
import time

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from alps_exp.files import write_atomically
from alps_exp.report import (
    build_table,
    find_calibrations,
    find_runs,
    pareto_figure,
    to_latex,
    to_markdown,
    write_calibration_tables,
    write_tables,
)
from alps_exp.report.paired import paired_difference
from alps_exp.report.pareto import front, stands, with_costs
from alps_exp.runs import Record, RunFolder, collect_provenance


def record(image_id, sampler, psnr, estimate="mmse", task="blur", seed=0, **changes):
    values = {"ssim": psnr / 40, "nmse": 1 / psnr, "nfe_forward": 50, "nfe_vjp": 50, "seconds": 2.0}
    values |= {"operator": "gaussian_blur", "noise_std": 0.05, "num_samples": 4} | changes
    return Record(image_id, task, sampler=sampler, psnr=psnr, seed=seed, estimate=estimate, **values)


def make_run(path, records, seed=0, done=True, data_hash=None, asked=None, **config):
    run = RunFolder(path)
    run.save_config({"seed": seed, **config})
    asked = asked or len({r.image_id for r in records})
    run.begin(collect_provenance(seeds={}, device="cpu", num_images=asked, data_hash=data_hash))
    write_atomically(run.path / "records.jsonl", "".join(f"{r.to_json()}\n" for r in records).encode())
    if done:
        run.mark_done()


def psnr_cells(table):
    rows = to_markdown(table).partition("\n\n")[0].splitlines()
    head, _, *lines = ([cell.strip() for cell in line.split("|")] for line in rows)
    return [line[head.index("PSNR [dB]")] for line in lines]


def test_the_best_of_complete_rows_is_bold_among_its_kind(tmp_path):
    make_run(tmp_path / "alps", [record("a", "alps", 20.0, "sample"), record("a", "alps", 22.001)])
    make_run(tmp_path / "daps", [record("a", "daps", 19.0, "sample"), record("a", "daps", 22.0)])
    make_run(tmp_path / "map", [record("a", "map", 21.0, "map")])
    failed = [record("a", "dps", 30.0), record("b", "dps", 30.0).failed("out of memory")]
    make_run(tmp_path / "dps", failed)
    table = build_table([tmp_path])
    assert psnr_cells(table) == ["**20.00**", "**22.00**", "21.00", "19.00", "**22.00**", "30.00"]
    assert r"\textbf{20.00}" in to_latex(table) and "**" not in to_latex(table)


def flagged(image_id, sampler, psnr, *flags, **changes):
    return record(image_id, sampler, psnr, flags=list(flags), **changes)


def test_a_flagged_estimate_is_never_bold_and_the_best_of_the_others_is(tmp_path):
    make_run(tmp_path / "alps", [record("a", "alps", 20.0), record("b", "alps", 22.0)])
    make_run(tmp_path / "daps", [record("a", "daps", 19.0), record("b", "daps", 21.0)])
    wild = [flagged("a", "map", 31.0, "convergence", estimate="map"), record("b", "map", 31.0, "map")]
    make_run(tmp_path / "map", wild)
    table = build_table([tmp_path])
    assert psnr_cells(table) == ["**21.00 ± 1.41**", "31.00 ± 0.00", "20.00 ± 1.41"]
    assert list(table["status"]) == ["ok", "1 of 2 estimates flagged (convergence)", "ok"]
    assert list(table["flagged"]) == [0, 1, 0]


def test_a_flagged_row_is_not_bold_by_a_tie_nor_alone_with_others_like_it(tmp_path):
    make_run(tmp_path / "alps", [flagged("a", "alps", 20.0, "misfit"), record("a", "alps", 9.0, "sample")])
    make_run(tmp_path / "daps", [record("a", "daps", 20.0), flagged("a", "daps", 8.0, "misfit", estimate="sample")])
    assert psnr_cells(build_table([tmp_path])) == ["**9.00**", "20.00", "8.00", "**20.00**"]
    make_run(tmp_path / "daps", [flagged("a", "daps", 20.0, "energy"), record("a", "daps", 8.0, "sample")])
    assert "**20.00**" not in to_markdown(build_table([tmp_path]))


def test_rows_of_fewer_images_do_not_compete_and_say_so(tmp_path):
    """DAPS' four easy images have a better mean than eight of ALPS, which is better on each."""
    ids, psnr = "abcdefgh", [30.0] * 4 + [20.0] * 4
    make_run(tmp_path / "alps", [record(i, "alps", p) for i, p in zip(ids, psnr, strict=True)])
    make_run(tmp_path / "dps", [record(i, "dps", p - 2) for i, p in zip(ids, psnr, strict=True)])
    make_run(tmp_path / "daps", [record(i, "daps", p - 1) for i, p in zip(ids[:4], psnr, strict=False)])
    table = build_table([tmp_path], reference="daps").set_index("sampler")
    assert list(table["psnr"]) == [25.0, 29.0, 23.0]
    assert [cell.startswith("**") for cell in psnr_cells(build_table([tmp_path]))] == [True, False, False]
    assert list(table["compared"]) == [True, False, True]
    assert table["status"]["daps"] == "other images than alps (4 of 8 in common)"
    assert table["difference"]["alps"] == 1 and table["pairs"]["alps"] == 4
    few = "no interval of the difference: 4 independent images, at least 6 needed"
    assert list(table["status"].drop("daps")) == [few, few]


def test_the_images_of_most_samplers_are_those_of_the_task_though_others_are_more(tmp_path):
    """One old run on three images does not take the bold from two of the same two."""
    make_run(tmp_path / "old", [record(i, "map", 40.0, "map") for i in "xyz"])
    for sampler, psnr in (("alps", 20.0), ("daps", 19.0)):
        made = [record(i, sampler, psnr, estimate) for i in "ab" for estimate in ("mmse", "sample")]
        make_run(tmp_path / sampler, made)
    table = build_table([tmp_path])
    bold = [cell.startswith("**") for cell in psnr_cells(table)]
    assert dict(zip(zip(table["sampler"], table["estimate"], strict=True), bold, strict=True)) == {
        ("alps", "sample"): True,
        ("alps", "mmse"): True,
        ("map", "map"): False,
        ("daps", "sample"): False,
        ("daps", "mmse"): False,
    }
    assert table["status"][2] == "other images than alps (0 of 5 in common)"


def test_as_many_but_other_images_do_not_compete(tmp_path):
    make_run(tmp_path / "alps", [record(i, "alps", 20.0) for i in "ab"])
    make_run(tmp_path / "daps", [record(i, "daps", 30.0) for i in "bc"])
    table = build_table([tmp_path])
    assert "**" not in to_markdown(table)
    assert list(table["status"]) == [
        "other images than daps (1 of 3 in common)",
        "other images than alps (1 of 3 in common)",
    ]
    assert not table["compared"].any()
    make_run(tmp_path / "dps", [record(i, "dps", 10.0) for i in "ba"])
    table = build_table([tmp_path])
    assert [cell.startswith("**") for cell in psnr_cells(table)] == [True, False, False]
    assert list(table["status"] == "ok") == [True, False, True]


def test_failed_images_leave_others_which_are_told(tmp_path):
    failed = [record(i, "daps", 30.0).failed("out of memory") for i in "efgh"]
    make_run(tmp_path / "daps", [*(record(i, "daps", 30.0) for i in "abcd"), *failed])
    make_run(tmp_path / "alps", [record(i, "alps", 20.0) for i in "abcdefgh"])
    table = build_table([tmp_path])
    assert list(table["status"]) == [
        "ok",
        "4 of 8 failed (out of memory); other images than alps (4 of 8 in common)",
    ]
    assert "**" not in to_markdown(table)
    make_run(tmp_path / "dps", [record(i, "dps", 10.0) for i in "abcd"])
    make_run(tmp_path / "map", [record(i, "map", 11.0, "map") for i in "abcd"])
    table = build_table([tmp_path]).set_index("sampler")  # now those four are what most have
    assert table["status"]["daps"] == "4 of 8 failed (out of memory)" and not table["compared"]["daps"]
    assert list(table.index[table["compared"].astype(bool)]) == ["map", "dps"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"data": {"test": {"size": 32}}}, "other data.test.size than alps"),
        ({"operator": {"sigma": 3.0}}, "other operator.sigma than alps"),
        ({"data_hash": "new"}, "other data than alps"),
        ({"data": {"test": {"size": 64, "path": "elsewhere"}}}, "ok"),
        ({"data": {"num_workers": 4, "test": {"size": 64}}}, "ok"),
    ],
)
def test_images_of_one_id_are_the_same_only_if_made_alike(tmp_path, config, told):
    usual = {"data": {"test": {"size": 64}}, "operator": {"sigma": 2.0}, "data_hash": "old"}
    make_run(tmp_path / "alps", [record(i, "alps", 20.0) for i in "ab"], **usual)
    make_run(tmp_path / "dps", [record(i, "dps", 10.0) for i in "ab"], **usual)
    make_run(tmp_path / "daps", [record(i, "daps", 30.0) for i in "ab"], **(usual | config))
    difference = build_table([tmp_path], reference="alps").set_index("sampler")["difference"]
    table = build_table([tmp_path]).set_index("sampler")
    assert table["status"]["daps"] == told and table["status"]["alps"] == table["status"]["dps"] == "ok"
    assert ("**30.00" in to_markdown(table.reset_index())) == (told == "ok")
    assert pd.isna(difference["daps"]) == (told != "ok")


def test_a_part_of_the_same_data_is_paired_whatever_the_hash_of_the_whole(tmp_path):
    test = {"path": "images", "indices": None}
    make_run(tmp_path / "alps", [record(i, "alps", 20.0) for i in "abcd"], data_hash="4", data={"test": test})
    part = {"test": test | {"indices": [0, 2]}}
    make_run(tmp_path / "daps", [record(i, "daps", 19.0) for i in "ab"], data_hash="2", data=part)
    elsewhere = {"test": test | {"path": "others"}}  # two folders may both hold an image a
    make_run(tmp_path / "dps", [record(i, "dps", 18.0) for i in "ab"], data_hash="3", data=elsewhere)
    table = build_table([tmp_path], reference="alps").set_index("sampler")
    assert table["status"]["daps"].startswith("other images than alps (2 of 4 in common)")
    assert table["status"]["dps"] == "other data than alps"
    assert table["difference"]["daps"] == -1 and pd.isna(table["difference"]["dps"])


def test_seeds_noises_and_truths_that_are_not_there_keep_rows_comparable(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / f"alps{seed}", [record(i, "alps", 20.0 + seed, seed=seed) for i in "ab"], seed)
    make_run(tmp_path / "daps", [record(i, "daps", 20.0) for i in "ab"])
    make_run(tmp_path / "noisy", [record("a", "daps", 50.0, noise_std=0.1)])
    joint = [record("a", name, 20.0, noise_std=[0.05, 0.1], task="joint") for name in ("alps", "dps")]
    make_run(tmp_path / "joint0", joint[:1])
    make_run(tmp_path / "joint1", joint[1:])
    nothing = {"psnr": None, "ssim": None, "nmse": None, "task": "measured"}
    for name in ("alps", "dps"):
        make_run(tmp_path / f"blind{name}", [Record(**(vars(record(i, name, 1.0)) | nothing)) for i in "ab"])
    table = build_table([tmp_path])
    assert table["compared"].all() and list(table["status"].unique()) == ["ok"]
    cells = psnr_cells(table)
    assert cells[:3] == ["**20.50 ± 0.00**", "20.00 ± 0.00", "50.00"]
    assert cells[3:] == ["**20.00**", "**20.00**", "-", "-"]


def test_means_over_a_part_of_the_truths_say_so(tmp_path):
    half = [record("a", "alps", 30.0), Record(**(vars(record("b", "alps", 1.0)) | {"psnr": None}))]
    make_run(tmp_path / "alps", half)
    make_run(tmp_path / "daps", [record(i, "daps", 20.0) for i in "ab"])
    make_run(tmp_path / "dps", [record(i, "dps", 19.0) for i in "ab"])
    table = build_table([tmp_path])
    assert list(table["status"]) == ["1 of 2 without a truth; other truths than daps", "ok", "ok"]
    assert [cell.startswith("**") for cell in psnr_cells(table)] == [False, True, False]


def test_seeds_are_counted_and_never_more_images(tmp_path):
    for seed in (0, 1):
        records = [record(i, "alps", 20.0 + seed + k, seed=seed) for k, i in enumerate("ab")]
        make_run(tmp_path / str(seed), records, seed)
    (row,) = build_table([tmp_path]).itertuples()
    assert (row.images, row.seeds, row.psnr, row.status) == (2, 2, 21, "ok")
    assert row.psnr_std == pytest.approx(0.5**0.5)
    assert "Seeds" in to_markdown(build_table([tmp_path]))
    each = build_table([tmp_path], seeds="each")
    assert list(each["sampler"]) == ["alps (seed=0)", "alps (seed=1)"] and list(each["psnr"]) == [20.5, 21.5]


def test_an_image_that_lacks_a_seed_is_told(tmp_path):
    make_run(tmp_path / "0", [record("a", "alps", 20.0), record("b", "alps", 22.0)])
    make_run(tmp_path / "1", [record("a", "alps", 20.0, seed=1)], 1)
    assert build_table([tmp_path])["status"][0] == "1 of 2 without some of the seeds"


def test_flagged_samples_are_counted(tmp_path):
    flags = [["misfit"], [], ["energy", "misfit"], []]
    records = [record("a", "alps", 20.0, "sample", sample_index=i, flags=f) for i, f in enumerate(flags)]
    make_run(tmp_path / "run", records)
    (row,) = build_table([tmp_path]).itertuples()
    assert (row.flagged, row.status) == (2, "2 of 4 samples flagged (energy, misfit)")


def test_published_numbers_stand_beside_ours(tmp_path):
    head = "task,settings,eta,method,psnr_mean,psnr_std,ssim_mean,ssim_std,data\n"
    lines = "gaussian_blur,sigma=2,0.05,alps,27.06,1.6,0.88,0.02,ffhq64\nmri,,,map,1,1,1,1,x\n"
    (tmp_path / "paper.csv").write_text(head + lines)
    for sigma in (2.0, 1.0):
        made = [record("a", "alps_paper", 20.0)]
        make_run(tmp_path / "runs" / str(sigma), made, operator={"sigma": sigma})
    make_run(tmp_path / "runs" / "b", [record("a", "alps_paper", 20.0, noise_std=0.1)], operator={"sigma": 2})
    make_run(tmp_path / "runs" / "c", [record("a", "map", 20.0, "map", task="mri")])
    table = build_table([tmp_path / "runs"], paper=tmp_path / "paper.csv")
    expected = {
        "alps_paper (operator.sigma=1.0)": 0,
        "alps_paper (operator.sigma=2.0)": 27.06,
        "alps_paper": 0,
        "map": 1,
    }
    assert dict(zip(table["sampler"], table["paper_psnr"].fillna(0), strict=True)) == expected
    assert "| 27.06 ± 1.60 | 0.880 ± 0.020 | ffhq64 " in to_markdown(table)
    (tmp_path / "bad.csv").write_text("task,eta\n")
    with pytest.raises(ValueError, match="no column settings, method, psnr_mean"):
        build_table([tmp_path / "runs"], paper=tmp_path / "bad.csv")


def test_a_difference_is_over_the_images_that_both_have_and_a_volume_counts_once():
    """Student's example, Biometrika 6, 1908; the images that only one has, and the slices of a volume, do not count."""
    sleep = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    theirs = pd.Series(range(12), index=list("abcdefghijkl"), dtype=float)
    ours = theirs.iloc[:10] + sleep
    found = paired_difference(pd.concat([ours[::-1], pd.Series([math.nan, 9.0], list("lx"))]), theirs)
    assert found == pytest.approx(
        {
            "difference": 1.58,
            "difference_low": 0.7001142,
            "difference_high": 2.4598858,
            "difference_p": 0.0028329,
            "difference_median": 1.3,
            "difference_median_low": 0.8,  # the second from either end
            "difference_median_high": 2.4,
            "difference_sign_p": 2 / 2**9,
            "pairs": 10,
        },
        abs=1e-6,
    )
    slices = [(volume, f"{volume}{i}") for volume in "abcdefghij" for i in range(3)]
    each = pd.Series(0.0, pd.MultiIndex.from_tuples(slices))
    of_slices = each + [value + shift for value in sleep for shift in (-0.1, 0, 0.1)]
    assert paired_difference(of_slices, each) == pytest.approx(found)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_no_interval_of_fewer_than_six_differences(count):
    ids = list("abcde")[:count]
    found = paired_difference(pd.Series(range(count), ids, dtype=float), pd.Series(0.0, ids))
    known = {name for name, value in found.items() if not np.isnan(value)}
    assert known == ({"difference", "difference_median", "pairs"} if count else {"pairs"}) and found["pairs"] == count


def of_images(sampler, psnr):
    return [record(image_id, sampler, value) for image_id, value in zip("abcdefghijk", psnr, strict=False)]


def test_differences_are_between_images_that_both_restored(tmp_path):
    make_run(tmp_path / "alps", of_images("alps", [20.0, 30.0, 40.0]))
    make_run(tmp_path / "dps", of_images("dps", [19.0, 28.0]))
    table = build_table([tmp_path], reference="dps")
    assert list(table["pairs"].fillna(0)) == [2, 0] and table["difference"][0] == 1.5
    assert "+1.50 (n = 2)" in to_markdown(table)
    few = "no interval of the difference: 2 independent images, at least 6 needed"
    assert table["status"][0].endswith(few) and few in to_latex(table)
    with pytest.raises(ValueError, match="no run is of the reference 'dsp', expected one of alps, dps"):
        build_table([tmp_path], reference="dsp")


def test_p_values_are_corrected_for_the_comparisons_of_a_table(tmp_path):
    """Of three samplers against a fourth one, Holm's factors are 3, 2 and 1 in the order of the p-values."""
    psnr = np.array([20.0, 21, 22, 23, 24, 25, 26])
    wiggle = np.array([-1.0, 1, -1, 1, -1, 1, 0.5])
    make_run(tmp_path / "dps", of_images("dps", psnr))
    for sampler, shift in {"alps": 3.0, "daps": 1.5, "map": 0.0}.items():
        make_run(tmp_path / sampler, of_images(sampler, psnr + shift + wiggle))
    make_run(tmp_path / "csgm", of_images("csgm", psnr[:5] + 1))  # too few to be tested
    table = build_table([tmp_path], reference="dps").set_index("sampler")
    for test in ("difference_p", "difference_sign_p"):
        p, corrected = table[test], table[f"{test}_holm"]
        assert p["alps"] <= p["daps"] < p["map"]
        assert corrected["alps"] == pytest.approx(3 * p["alps"])
        assert corrected["daps"] == pytest.approx(max(3 * p["alps"], 2 * p["daps"]))
        assert corrected["map"] == pytest.approx(min(p["map"], 1))
        assert corrected[["dps", "csgm"]].isna().all()
    shown = to_markdown(build_table([tmp_path], reference="dps"))
    ends = f"[{table['difference_low']['daps']:+.2f}, {table['difference_high']['daps']:+.2f}] (n = 7)"
    assert f"{table['difference']['daps']:+.2f} {ends}" in shown
    assert f"| {table['difference_sign_p_holm']['daps']:.3f} " in shown
    only = build_table([tmp_path], reference="dps")
    assert "(n = 7)" in to_latex(only) and len(only["difference_p_holm"].dropna()) == 3


def test_several_noises_are_a_noise_of_their_own(tmp_path):
    make_run(tmp_path / "a", [record("a", "alps", 20.0, noise_std=[0.05, 0.1])])
    make_run(tmp_path / "b", [record("a", "alps", 20.0, noise_std=1.0)])
    assert list(build_table([tmp_path])["noise_std"]) == [1.0, "0.05, 0.1"]
    assert "| 0.05, 0.1 |" in to_markdown(build_table([tmp_path]))


def test_the_front_is_what_none_surpasses(tmp_path):
    costs = {"a": (10, 20.0), "b": (20, 19.0), "c": (30, 22.0), "d": (30, 21.0)}
    for name, (calls, psnr) in costs.items():
        make_run(tmp_path / name, [record("i", name, psnr, nfe_forward=calls, nfe_vjp=0)])
    table = build_table([tmp_path])
    rows = with_costs(table)
    assert list(rows["calls"]) == [40, 80, 120, 120]
    assert list(front(rows, "calls")["sampler"]) == ["a", "c"]
    assert list(front(rows[stands(rows)], "calls")["sampler"]) == ["a", "c"]
    (path,) = pareto_figure(table, tmp_path / "pareto.png")
    assert imread(path).std() > 0
    assert pareto_figure(table.assign(psnr=np.nan), tmp_path / "none.png") == []


def test_the_front_is_of_rows_that_compare_and_have_no_flag(tmp_path):
    for name, calls, psnr in (("a", 10, 20.0), ("b", 20, 21.0)):
        make_run(tmp_path / name, [record(i, name, psnr, nfe_forward=calls, nfe_vjp=0) for i in "ij"])
    make_run(tmp_path / "other", [record("k", "other", 40.0, nfe_forward=5, nfe_vjp=0)])
    wild = [flagged(i, "wild", 30.0, "misfit", nfe_forward=5, nfe_vjp=0) for i in "ij"]
    make_run(tmp_path / "wild", wild)
    rows = with_costs(build_table([tmp_path]))
    assert list(front(rows[stands(rows)], "calls")["sampler"]) == ["a", "b"]


def calibration(name, **changes):
    """Return the report of two images and what `alps calibrate` writes down of its request."""
    ends = {"value": 1.0, "low": 0.9, "high": 1.1}
    levels = [0.5, 0.9]
    coverage = {end: levels for end in ends}
    labels = {"task": "blur", "noise_std": 0.05, "sampler": name, "seed": 0, "images": 2, "failed": 0, "samples": 4}
    shares = {end: [1.0] * 5 for end in ends}
    costs = {"nfe_forward": 1, "nfe_vjp": 0, "seconds": 1.0}
    return labels | costs | {"levels": levels, "coverage": coverage, "rank_histogram": shares, "spread_error": ends}


def test_calibrations_on_images_of_different_priors_say_so(tmp_path):
    priors = {"energy": {"name": "faces64"}, "teacher": {"name": "faces64", "_target_": "load_teacher"}}
    for name, prior_kind in (("alps", "energy"), ("dps", "teacher"), ("daps", "teacher")):
        config = {"images": "prior", **priors, "sampler": {"prior_kind": prior_kind}}
        run = tmp_path / name
        make_run(run, [record(i, name, 20.0) for i in ("draw0000", "draw0001")], **config)
        (run / "calibration.json").write_text(json.dumps(calibration(name)))
    write_calibration_tables(find_calibrations([tmp_path]), tmp_path / "table")
    table = pd.read_csv(tmp_path / "table" / "calibration.csv").set_index("sampler")
    assert dict(table["status"]) == {"alps": "other prior._target_ than daps", "daps": "ok", "dps": "ok"}


@pytest.mark.slow
def test_ten_thousand_images_take_less_than_ten_seconds(tmp_path):
    rng = np.random.default_rng(0)
    for sampler in ("alps", "dps"):
        psnr = rng.normal(25, 2, (10_000, 3))
        records = [
            record(f"{i:05}", sampler, float(p), "sample" if k else "mmse", sample_index=k or None, num_samples=2)
            for i, row in enumerate(psnr)
            for k, p in enumerate(row)
        ]
        make_run(tmp_path / "runs" / sampler, records)
    start = time.process_time()
    table = build_table([tmp_path / "runs"], reference="dps")
    write_tables(table, tmp_path)
    assert time.process_time() - start < 10
    assert list(table["images"]) == [10_000] * 4 and len(find_runs([tmp_path])) == 2


def test_numbers_written_in_two_ways_are_the_same_measurement(tmp_path):
    for sampler, psnr, two, one in (("alps", 20.0, 2, 1), ("daps", 19.0, 2.0, 1.0)):
        operator = {"sigma": two, "operators": [{"fraction": one, "sigma": 0.5}]}
        make_run(tmp_path / sampler, [record("a", sampler, psnr)], operator=operator)
    table = build_table([tmp_path])
    assert list(table["status"]) == ["ok", "ok"] and psnr_cells(table) == ["**20.00**", "19.00"]


def test_images_drawn_by_another_seed_are_other_images(tmp_path):
    """An id is another image at each seed: ALPS' mean over two seeds would be over images that DAPS never had."""
    for seed, psnr in ((0, 20.0), (1, 30.0)):
        made = [record("draw0000", "alps", psnr, seed=seed)]
        make_run(tmp_path / f"alps{seed}", made, seed, images="prior")
    make_run(tmp_path / "daps", [record("draw0000", "daps", 21.0)], images="prior")
    table = build_table([tmp_path]).set_index("sampler")
    assert list(table["status"]) == ["ok", "other seed than alps (seed=0)", "ok"]
    assert psnr_cells(build_table([tmp_path])) == ["20.00", "30.00", "**21.00**"]
