"""The rows of a table are run and compared: what passes, what fails and why, and that finished rows answer at once."""

import csv
import json

import pytest
import yaml

COMMAND = "restore data=prior data.test.count=2 energy=gaussian teacher=gaussian energy.size=12 teacher.size=12"
COMMAND += " operator=denoise sampler.schedule.steps=2 num_samples=2 figures=false logger=none"
ANY_PSNR = {"mmse/psnr": {"expected": 0, "tolerance": 1000}}


@pytest.fixture
def reproduce(alps, tmp_path):
    """Return a function that runs `alps reproduce` on rows, and returns its status, output, errors and numbers."""

    def run(runs, *words):
        rows = tmp_path / "conf" / "rows" / "mine.yaml"
        rows.parent.mkdir(parents=True, exist_ok=True)
        rows.write_text(yaml.safe_dump({"hardware": "a bench", "runs": runs}, sort_keys=False))
        output = tmp_path / "out"
        status, out, err = alps("reproduce", "mine", "--config-dir", str(rows.parents[1]), f"output={output}", *words)
        found = output / "reproduction.csv"
        lines = list(csv.DictReader(found.read_text().splitlines())) if found.exists() else []
        return status, out, err, lines

    return run


def test_numbers_pass_within_their_tolerance_and_fail_beyond_it(reproduce, tmp_path):
    row = {"command": COMMAND, "minutes": 0.1, "values": ANY_PSNR}
    status, _, err, lines = reproduce({"one": row})
    assert status == 0, err
    measured = float(lines[0]["measured"])
    records = [json.loads(line) for line in (tmp_path / "out" / "one" / "records.jsonl").read_text().splitlines()]
    means = [record["psnr"] for record in records if record["estimate"] == "mmse"]
    assert len(means) == 2 and measured == pytest.approx(sum(means) / 2)
    done = (tmp_path / "out" / "one" / "DONE").stat().st_mtime_ns
    near = {"mmse/psnr": {"expected": measured + 0.09, "tolerance": 0.1}}
    far = {"mmse/ssim": {"expected": 2, "tolerance": 0.5, "paper": 0.8}}
    status, out, _, lines = reproduce({"one": row | {"values": near | far}})
    assert status == 1 and [line["verdict"] for line in lines] == ["PASS", "FAIL"]
    assert "paper 0.8" in out and "1 of 2 numbers as expected" in out
    assert (tmp_path / "out" / "one" / "DONE").stat().st_mtime_ns == done


@pytest.mark.slow
def test_a_row_that_cannot_run_says_why_and_the_others_go_on(reproduce, tmp_path):
    lacking = {"file": str(tmp_path / "faces"), "published": "https://example.org/faces"}
    rows = {
        "lacks": {"command": COMMAND, "minutes": 1, "values": ANY_PSNR, "needs": [lacking]},
        "wrong": {"command": f"{COMMAND} operator.noise_std=-1", "minutes": 1, "values": ANY_PSNR},
        "misspelt": {"command": COMMAND, "minutes": 1, "values": {"mmse/pnsr": {"expected": 0, "tolerance": 1}}},
        "good": {"command": COMMAND, "minutes": 1, "values": ANY_PSNR},
    }
    status, out, _, lines = reproduce(rows)
    assert status == 1 and [line["verdict"] for line in lines] == ["FAIL", "FAIL", "FAIL", "PASS"]
    problems = [line["problem"] for line in lines]
    assert lacking["file"] in problems[0] and lacking["published"] in problems[0]
    assert "status 2" in problems[1] and "mmse/psnr" in problems[2] and problems[3] == "ok"
    assert all(problem in out for problem in problems[:3])
    assert not (tmp_path / "out" / "lacks").exists()


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        ({"minutes": 1, "values": {"mmse/psnr": {"expected": 1, "tolerance": 1}}}, "command"),
        ({"command": "train data=faces", "minutes": 1, "values": {"a": {"expected": 1, "tolerance": 1}}}, "restore"),
        ({"command": COMMAND, "minutes": 1}, "values"),
        ({"command": COMMAND, "minutes": 1, "values": {"a": {"expected": 1, "tolerance": 0}}}, "tolerance"),
        ({"command": COMMAND, "minuets": 1}, "minuets"),
    ],
)
def test_rows_of_another_form_are_refused_before_anything_runs(reproduce, row, fact):
    status, out, err, _ = reproduce({"one": row})
    assert status == 2 and fact in err and "rows.runs.one" in err and not out


@pytest.mark.parametrize("table", ["closed_form", "faces", "mri"])
def test_the_rows_that_are_shipped_are_requests_of_their_verbs(alps, table):
    """Their commands compose, and each of their numbers has a value that was measured."""
    status, out, err = alps("reproduce", table, "--cfg", "job")
    assert status == 0, err
    rows = yaml.safe_load(out)["rows"]
    for row in rows["runs"].values():
        status, _, err = alps(*row["command"].split(), "dry_run=true")
        assert status == 0, err
        assert all(value["expected"] for value in row["values"].values())
