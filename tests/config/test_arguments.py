"""Requests against signatures."""

from collections.abc import Mapping
from typing import Any, Literal

import pytest
from omegaconf import DictConfig

from alps_exp.config.arguments import check_arguments, nearest
from alps_exp.operators import LinearOperator


def configured(
    *,
    number: float,
    count: int,
    name: str | None,
    mode: Literal["a", "b"],
    sizes: list[int],
    pair: tuple[int, float],
    parts: Mapping[str, int] | None,
    config: DictConfig | None,
    operator: LinearOperator | int,
    anything: Any,
    on: bool,
) -> None: ...


RIGHT = dict(
    number=1,
    count=2,
    name=None,
    mode="a",
    sizes=[1, 2],
    pair=[1, 0.5],
    parts={"a": 1},
    config={"a": 1},
    operator=3,
    anything="x",
    on=True,
)


def test_a_right_request_passes():
    check_arguments(configured, RIGHT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": "abc"}, "number is 'abc', expected a number"),
        ({"number": True}, "number is true, expected a number"),
        ({"count": 1.5}, "count is 1.5, expected a whole number"),
        ({"name": 3}, "name is 3, expected text or null"),
        ({"mode": "c"}, "mode is 'c', expected one of a, b"),
        ({"sizes": [1, "x"]}, "sizes is"),
        ({"on": "yes"}, "on is 'yes', expected true or false"),
        ({"cuont": 1}, "unknown key 'cuont': did you mean count?"),
        ({"count": {"a": 1}}, "count is {a: 1}, expected a whole number"),
        ({"number": {}}, "number is {}, expected a number"),
        ({"number": [1.0]}, "number is [1.0], expected a number"),
        ({"on": {"a": True}}, "on is {a: true}, expected true or false"),
        ({"name": {"a": "b"}}, "name is {a: 'b'}, expected text or null"),
        ({"mode": {"a": "b"}}, "mode is {a: 'b'}, expected one of a, b"),
        ({"sizes": {"a": 1}}, "sizes is {a: 1}"),
        ({"pair": [1]}, "pair is [1]"),
        ({"pair": [0.5, 1]}, "pair is [0.5, 1]"),
        ({"parts": {"a": "x"}}, "parts is {a: 'x'}"),
        ({"config": 3}, "config is 3, expected settings {key: value} or null"),
        (
            {"operator": {"noise_std": 1}},
            "operator is {noise_std: 1}, expected settings with a _target_, a LinearOperator",
        ),
    ],
)
def test_a_wrong_one_is_named(change, message):
    with pytest.raises(ValueError) as refused:
        check_arguments(configured, {**RIGHT, **change})
    assert message in str(refused.value)


def test_a_config_of_an_object_may_stand_for_any_value():
    """As the noise level that comes with the data does for a number."""
    rule = {"_target_": "alps_exp.masks.NoiseFromBatch"}
    check_arguments(configured, {**RIGHT, "number": rule, "operator": rule, "sizes": [1, rule]})


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
