"""The table of trials: each study apart, its best marked, and why a trial has no value."""

import pytest

from alps_exp.report import build_trials_table, find_runs, write_trials
from alps_exp.runs import Record, RunFolder, collect_provenance
from alps_exp.runs.study import StudyTrial, note_request


def make_run(folder, number, psnr, objective="mmse/psnr", study="s", done=True, flags=(), **parameters):
    run = RunFolder(folder / f"{study}{number}")
    run.begin(collect_provenance(seeds={}, num_images=1))
    record = Record("a", "task", "operator", 0.1, "alps", 0, "mmse", psnr=psnr, nmse=psnr, flags=list(flags))
    (run.path / "records.jsonl").write_text(record.to_json() + "\n")
    note_request(run, StudyTrial(study, "optuna", number, objective, parameters), is_new=True)
    if done:
        run.mark_done()


def test_the_best_of_each_study_is_marked_in_the_direction_of_its_objective(tmp_path):
    for number, psnr in enumerate((21.0, 23.25, 22.0)):
        make_run(tmp_path, number, psnr, sigma_max=f"{number + 0.123456789}")
        make_run(tmp_path, number, psnr, "mmse/nmse", "low|est", steps=str(number), mask="inpaint")
    make_run(tmp_path, 3, 99.0, done=False, sigma_max="9.0")
    make_run(tmp_path, 4, None, sigma_max="3.0")
    make_run(tmp_path, 5, 23.25, sigma_max="4.0", flags=["misfit"])
    table = build_trials_table([tmp_path])
    best = table[table["best"]]
    assert best[["study", "trial", "value"]].to_numpy().tolist() == [
        ["low|est", 0, 21.0],
        ["s", 1, 23.25],
        ["s", 5, 23.25],
    ]
    status = dict(zip(table[table["study"] == "s"]["trial"], table[table["study"] == "s"]["status"], strict=True))
    assert status[3].startswith("unfinished") and status[4].startswith("no mmse/psnr") and status[1] == "ok"
    markdown, csv = (path.read_text() for path in write_trials(table, tmp_path))
    first, second = markdown.split("\n\nTrials of ")[0], markdown.split("Trials of ")[2]
    assert "lowest mmse/nmse" in first and r"low\|est" in first and "sigma_max" not in first
    assert "**23.2500**" in second and "| 1.123 " in second and "steps" not in second and "1 flagged" in second
    assert "1.123456789" in csv and csv.splitlines()[0].endswith("steps,mask,sigma_max")


def test_trials_are_no_rows_of_a_comparison(tmp_path):
    make_run(tmp_path, 0, 20.0)
    assert find_runs([tmp_path]) == []
    note_request(RunFolder(tmp_path / "s0"), None, is_new=False)
    assert [run.path.name for run in find_runs([tmp_path])] == ["s0"]


def test_without_trials_there_is_no_table(tmp_path):
    assert build_trials_table([tmp_path]).empty
    with pytest.raises(ValueError, match=r"no records\.jsonl"):
        find_runs([tmp_path])
