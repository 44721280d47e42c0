"""Tables of calibrations, whose reports may come from anybody."""

import json

import pandas as pd
import pytest

from alps_exp.report import find_calibrations, write_calibration_tables
from alps_exp.runs import DamagedFile, Record, RunFolder

ENDS = {"value": 1.0, "low": None, "high": None}
LEVELS = [0.3, 0.9]
REPORT = {
    "task": "blur",
    "noise_std": 0.05,
    "sampler": "alps",
    "seed": 0,
    "images": 1,
    "failed": 0,
    "samples": 2,
    "nfe_forward": 1,
    "nfe_vjp": 0,
    "seconds": 1.0,
    "levels": LEVELS,
    "coverage": {"value": LEVELS, "low": [None, None], "high": [None, None]},
    "rank_histogram": {"value": [0.2, 0.3, 0.5], "low": [None] * 3, "high": [None] * 3},
    "spread_error": ENDS,
}


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    record = Record("a", "blur", "blur", 0.05, "alps", 0, "mmse", psnr=20.0)
    (folder.path / "records.jsonl").write_text(f"{record.to_json()}\n")
    return folder


def write_tables(run, text):
    (run.path / "calibration.json").write_text(text)
    return write_calibration_tables(find_calibrations([run.path]), run.path.parent / "table")


def test_a_report_of_one_image_and_other_levels_is_shown(run):
    write_tables(run, json.dumps(REPORT | {"further": "x"}))
    row = pd.read_csv(run.path.parent / "table" / "calibration.csv").iloc[0]
    assert row["spread_error"] == 1 and row["coverage_30"] == 0.3 and row["status"] == "ok"
    assert "Coverage of 50 %" not in (run.path.parent / "table" / "calibration.md").read_text()


ODD = [
    ("[" * 100_000, "recursion"),
    ("7", "it is of type int, expected a dictionary"),
    ("{}", "task is missing, expected str"),
    (json.dumps(REPORT | {"images": "x"}), "images is of type str, expected int"),
    (json.dumps(REPORT | {"coverage": 7}), "coverage is of type int, expected a dictionary of value, low, high"),
    (json.dumps(REPORT | {"spread_error": None}), "spread_error is of type NoneType"),
    (json.dumps(REPORT | {"seconds": float("inf")}), "seconds is not finite"),
    (json.dumps(REPORT | {"samples": 3}), "rank_histogram has not 4 numbers"),
    (json.dumps(REPORT | {"levels": [0.5]}), "coverage has not 1 numbers"),
    ("hunter2", "Expecting value"),
]


@pytest.mark.parametrize(("text", "message"), ODD)
def test_what_is_no_report_is_refused_by_its_path(run, text, message):
    with pytest.raises(
        DamagedFile, match=f"run/calibration.json is no report of alps calibrate: .*{message}"
    ) as refused:
        write_tables(run, text)
    assert "hunter2" not in str(refused.value)
