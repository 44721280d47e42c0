"""Which runs are trials of sweepers alone."""

import json

import pytest

from alps_exp.runs import RunFolder
from alps_exp.runs.study import TRIALS, StudyTrial, is_only_trial, note_request, requests_of


def trial(study="a study", number=0):
    return StudyTrial(study, "optuna", number, "mmse/psnr", {"seed": "1"})


def test_a_run_is_a_trial_until_somebody_else_asks_for_it_and_stays_one(tmp_path):
    run = RunFolder(tmp_path)
    note_request(run, None, is_new=True)
    assert not (tmp_path / TRIALS).exists() and not is_only_trial(run)
    note_request(run, trial(), is_new=True)
    assert is_only_trial(run)
    note_request(run, None, is_new=False)
    note_request(run, trial(number=4), is_new=False)  # the study is repeated
    note_request(run, trial("another"), is_new=False)
    assert not is_only_trial(run)
    assert [(one.study, one.number) for one in requests_of(run).trials] == [("a study", 4), ("another", 0)]


def test_a_run_that_was_asked_for_before_a_study_is_no_mere_trial(tmp_path):
    note_request(RunFolder(tmp_path), trial(), is_new=False)
    assert not is_only_trial(RunFolder(tmp_path)) and len(requests_of(RunFolder(tmp_path)).trials) == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"by_itself": false}', '{"by_itself": true, "trials": [{"study": 3}]}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / TRIALS).write_text(text)
    with pytest.raises(ValueError, match=TRIALS):
        is_only_trial(RunFolder(tmp_path))


def test_a_trial_from_anybody_is_checked(tmp_path):
    entry = {"study": "s", "sweeper": "optuna", "number": "x", "objective": "mmse/psnr", "parameters": {}}
    (tmp_path / TRIALS).write_text(json.dumps({"by_itself": False, "trials": [entry]}))
    with pytest.raises(ValueError, match="number"):
        requests_of(RunFolder(tmp_path))
