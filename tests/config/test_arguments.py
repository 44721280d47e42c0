"""Requests against signatures."""

from typing import Any, Literal

import pytest

from alps_exp.config.arguments import check_arguments, nearest


def configured(
    *, number: float, count: int, name: str | None, mode: Literal["a", "b"], sizes: list[int], anything: Any, on: bool
) -> None: ...


RIGHT = dict(number=1, count=2, name=None, mode="a", sizes=[1, 2], anything="x", on=True)


def test_a_right_request_passes():
    check_arguments(configured, RIGHT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": "abc"}, "number is 'abc', expected a number"),
        ({"number": True}, "number is True, expected a number"),
        ({"count": 1.5}, "count is 1.5, expected a whole number"),
        ({"name": 3}, "name is 3, expected text or null"),
        ({"mode": "c"}, "mode is 'c', expected one of a, b"),
        ({"sizes": [1, "x"]}, "sizes is"),
        ({"on": "yes"}, "on is 'yes', expected true or false"),
        ({"cuont": 1}, "unknown key 'cuont': did you mean count?"),
    ],
)
def test_a_wrong_one_is_named(change, message):
    with pytest.raises(ValueError) as refused:
        check_arguments(configured, {**RIGHT, **change})
    assert message in str(refused.value)


def test_what_must_be_there_is_missed():
    without = {name: value for name, value in RIGHT.items() if name != "count"}
    with pytest.raises(ValueError, match="no count is given, expected a whole number"):
        check_arguments(configured, without)
    mask = {"_target_": "alps_exp.masks.BoxMask", "_partial_": True}
    with pytest.raises(ValueError, match="no anything.size is given, expected a whole number"):
        check_arguments(configured, {**RIGHT, "anything": mask})


def test_a_target_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="anything._target_ is 'alps_exp.samplers.Nothing', expected what can be"):
        check_arguments(configured, {**RIGHT, "anything": {"_target_": "alps_exp.samplers.Nothing"}})


def test_a_target_whose_module_fails_is_named(tmp_path, monkeypatch):
    (tmp_path / "failing_lab.py").write_text("nothing[")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="anything._target_ is 'failing_lab.X', expected what .*SyntaxError"):
        check_arguments(configured, {**RIGHT, "anything": {"_target_": "failing_lab.X"}})


def test_configs_inside_configs_are_checked():
    schedule = {"_target_": "alps_exp.samplers.GeometricSchedule", "sigma_mox": 1.0}
    with pytest.raises(ValueError, match="unknown key 'anything.0.sigma_mox': did you mean anything.0.sigma_max"):
        check_arguments(configured, {**RIGHT, "anything": [schedule]})


def test_the_nearest_choice_is_offered_or_all_are():
    assert nearest("daaps", ["alps", "daps"]) == ": did you mean daps?"
    assert nearest("xyz", ["b", "a"]) == ": expected one of a, b"
