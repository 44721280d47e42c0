"""What stands beside a table's means: bold, seeds, published numbers, paired differences, flags, the Pareto figure."""

import time

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from alps_exp.report import build_table, find_runs, pareto_figure, to_latex, to_markdown, write_tables
from alps_exp.report.paired import paired_difference
from alps_exp.report.pareto import front, with_costs
from alps_exp.runs import Record, RunFolder, collect_provenance, write_atomically


def record(image_id, sampler, psnr, estimate="mmse", task="blur", seed=0, **changes):
    values = {"ssim": psnr / 40, "nmse": 1 / psnr, "nfe_forward": 50, "nfe_vjp": 50, "seconds": 2.0}
    values |= {"operator": "gaussian_blur", "noise_std": 0.05, "num_samples": 4} | changes
    return Record(image_id, task, sampler=sampler, psnr=psnr, seed=seed, estimate=estimate, **values)


def make_run(path, records, seed=0, done=True, **config):
    run = RunFolder(path)
    run.save_config({"seed": seed, **config})
    run.begin(collect_provenance(seeds={}, device="cpu", num_images=len({r.image_id for r in records})))
    write_atomically(run.path / "records.jsonl", "".join(f"{r.to_json()}\n" for r in records).encode())
    if done:
        run.mark_done()


def psnr_cells(table):
    return [line.split("|")[7].strip() for line in to_markdown(table).splitlines()[2:]]


def test_the_best_of_complete_rows_is_bold_among_its_kind(tmp_path):
    make_run(tmp_path / "alps", [record("a", "alps", 20.0, "sample"), record("a", "alps", 22.001)])
    make_run(tmp_path / "daps", [record("a", "daps", 19.0, "sample"), record("a", "daps", 22.0)])
    make_run(tmp_path / "map", [record("a", "map", 21.0, "map")])
    failed = [record("a", "dps", 30.0), record("b", "dps", 30.0).failed("out of memory")]
    make_run(tmp_path / "dps", failed)
    table = build_table([tmp_path])
    assert psnr_cells(table) == ["**20.00**", "**22.00**", "21.00", "19.00", "**22.00**", "30.00"]
    assert r"\textbf{20.00}" in to_latex(table) and "**" not in to_latex(table)


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


def test_the_interval_of_a_difference_is_that_of_its_mean():
    """For 400 normal differences of mean 1 and deviation 2 the 95 % interval is 1 +- 1.96 * 2 / 20."""
    ids = [f"{i:03}" for i in range(400)]
    theirs = pd.Series(np.random.default_rng(0).normal(20, 5, 400), ids)
    z = np.random.default_rng(1).normal(size=400)
    ours = theirs + 1 + 2 * (z - z.mean()) / z.std()
    found = paired_difference(ours, theirs)
    assert found["difference"] == pytest.approx(1) and found["pairs"] == 400
    assert (found["difference_low"], found["difference_high"]) == pytest.approx((0.804, 1.196), abs=0.02)
    assert paired_difference(ours[::-1], theirs) == found


def test_differences_are_between_images_that_both_restored(tmp_path):
    make_run(tmp_path / "alps", [record(i, "alps", p) for i, p in zip("abc", (20.0, 30.0, 40.0), strict=True)])
    make_run(tmp_path / "dps", [record(i, "dps", p) for i, p in zip("ab", (19.0, 28.0), strict=True)])
    table = build_table([tmp_path], reference="dps")
    assert list(table["pairs"].fillna(0)) == [2, 0] and table["difference"][0] == 1.5
    assert "+1.50 [+1.00, +2.00] on 2" in to_markdown(table)
    with pytest.raises(ValueError, match="no run is of the reference 'dsp', expected one of alps, dps"):
        build_table([tmp_path], reference="dsp")


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
    assert imread(pareto_figure(table, tmp_path / "pareto.png")).std() > 0
    assert pareto_figure(table.assign(psnr=np.nan), tmp_path / "none.png") is None


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
