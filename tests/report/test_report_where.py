"""`where` selects what a table is made of."""

import pytest
from test_report_table import make_run, record

from alps_exp.report import build_volume_table, read_runs, select, select_rows, table_of
from alps_exp.runs import RunFolder


@pytest.fixture
def runs(tmp_path):
    """Write runs of two samplers, noise levels and seeds, one of which was asked for and never begun."""
    for sampler, noise_std, seed in [("alps", 0.05, 0), ("alps", 0.05, 1), ("alps", 0.1, 0), ("daps", 0.05, 0)]:
        records = [
            record(i, estimate, sampler, noise_std=noise_std, seed=seed, psnr=20.0 + seed)
            for i in ("a", "b")
            for estimate in ("sample", "mmse")
        ]
        config = {"sampler": {"name": sampler}, "operator": {"noise_std": noise_std}, "seed": seed}
        make_run(tmp_path / f"{sampler}-{noise_std}-{seed}", records, config=config)
    labels = {"task": "blur", "operator": "gaussian_blur", "sampler": "dps"}
    RunFolder(tmp_path / "waiting").save_config({"labels": labels, "operator": {"noise_std": 0.05}, "seed": 7})
    return tmp_path


def rows(path, **where):
    read, records = select(*read_runs([path]), where)
    table = select_rows(table_of(read, records), where)
    shown = table[["sampler", "noise_std", "estimate", "psnr"]].astype(object)
    return [tuple(row) for row in shown.where(shown.notna(), "-").to_numpy()]


def test_nothing_is_left_out_by_default(runs):
    assert len(rows(runs)) == 7 and rows(runs, sampler=None) == rows(runs)


def test_a_value_or_a_list_selects(runs):
    both = rows(runs, sampler=["daps", "dps"])
    assert [row[0] for row in both] == ["daps", "daps", "dps"]
    assert rows(runs, sampler="daps") == both[:2]
    assert {row[1] for row in rows(runs, noise_std=0.1)} == {0.1}
    assert rows(runs, noise_std=0.1) == rows(runs, noise_std="0.1") == rows(runs, noise_std=[0.10000000001])


def test_a_seed_is_that_of_the_records(runs):
    assert rows(runs, sampler="alps", noise_std=0.05, seed=1, estimate="mmse") == [("alps", 0.05, "mmse", 21)]
    assert rows(runs, sampler="alps", noise_std=0.05, seed=[0, 1], estimate="mmse") == [("alps", 0.05, "mmse", 20.5)]


def test_a_run_that_waits_stays_where_its_request_fits(runs):
    assert rows(runs, seed=7) == [("dps", 0.05, "-", "-")]
    assert rows(runs, estimate="mmse", noise_std=0.05)[-1] == ("dps", 0.05, "-", "-")
    assert ("dps", 0.05, "-", "-") not in rows(runs, noise_std=0.1)


def test_rows_are_as_many_as_were_asked_for(runs):
    assert [row[:3] for row in rows(runs, estimate="mmse", sampler=["alps", "daps"])] == [
        ("alps", 0.05, "mmse"),
        ("daps", 0.05, "mmse"),
        ("alps", 0.1, "mmse"),
    ]


def test_an_image_that_lacks_the_estimate_has_failed_all_the_same(tmp_path):
    make_run(tmp_path / "run", [record("a", "sample"), record("a"), record("b", "sample"), record("b").failed("out")])
    make_run(tmp_path / "other", [record("c", "sample", seed=1)], config={"sampler": {"name": "alps"}, "seed": 1})
    read, records = select(*read_runs([tmp_path]), {"estimate": "mmse"})
    (row,) = select_rows(table_of(read, records), {"estimate": "mmse"}).itertuples()
    assert row.status.startswith("2 of 3 failed (out)")


def test_a_part_of_the_images_does_not_make_an_unfinished_run_less_so(tmp_path):
    make_run(tmp_path / "run", [record("a"), record("b", psnr=30.0)], done=False, asked=5)
    read, records = select(*read_runs([tmp_path]), {"image_id": "b"})
    (row,) = table_of(read, records).itertuples()
    assert (row.psnr, row.status) == (30, "unfinished: 2 of 5 images")


def test_volumes_are_selected_too(tmp_path):
    volume = {"name": "v", "slices": 1, "reference": "RSS", "pixels": 4, "squared_error": 0.4}
    volume |= {"squared_reference": 2.0, "ssim": 0.5}
    make_run(tmp_path / "run", [record("a", "sample", volume=volume), record("a", volume=volume)])
    table = build_volume_table(*read_runs([tmp_path]))
    assert list(select_rows(table, {"estimate": ["mmse"]})["estimate"]) == ["mmse"] and len(table) == 2


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"sampler": "dasp"}, "where.sampler is dasp, and the runs have alps, daps, dps"),
        ({"sampler": ["alps", "dasp"]}, "where.sampler is dasp"),
        ({"noise_std": 0.2}, "where.noise_std is 0.2, and the runs have 0.05, 0.1"),
        ({"estimate": "map"}, "where.estimate is map, and the runs have mmse, sample"),
        ({"colour": 1}, "where.colour is no field to select by, expected one of task, "),
        ({"sampler": "daps", "seed": 1}, "no record has all that where asks for: sampler, seed"),
        ({"sampler": []}, "where.sampler is an empty list"),
        ({"sampler": "__import__('os').system('true')"}, "where.sampler is __import__"),
    ],
)
def test_what_selects_nothing_is_refused(runs, where, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        select(*read_runs([runs]), where)
