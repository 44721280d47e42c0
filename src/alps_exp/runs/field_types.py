"""Checks values from JSON against the type hints of what they become, since a file may hold anything."""

from __future__ import annotations

import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

Check = Callable[[object], bool]


def check_fields(values: Mapping[str, object], kind: type) -> None:
    """Check values by name against the type hints of a dataclass or a `TypedDict`; further values may be there.

    Raises
    ------
    TypeError
        If one is missing or has another type. The message does not quote it: it may be long, or nobody's business.
    """
    for name, fits in _checks(kind).items():
        there = name in values
        if not (fits(values[name]) if there else name in getattr(kind, "__optional_keys__", ())):
            found = f"is of type {type(values[name]).__name__}" if there else "is missing"
            raise TypeError(f"{name} {found}, expected {_described(typing.get_type_hints(kind)[name])}")


@cache
def _checks(kind: type) -> dict[str, Check]:
    return {name: _check_of(hint) for name, hint in typing.get_type_hints(kind).items()}


def _check_of(hint: type) -> Check:
    """Return whether a value has a type, also inside lists and dictionaries."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        checks = [_check_of(one) for one in inner]
        return lambda value: type(value) in inner or any(check(value) for check in checks)
    if origin is list:
        of_item = _check_of(inner[0])
        return lambda value: isinstance(value, list) and all(map(of_item, value))
    if origin is dict:
        of_value = _check_of(inner[1])
        return lambda value: isinstance(value, dict) and all(map(of_value, value.values()))
    if origin is typing.Literal:
        return lambda value: value in inner
    if typing.is_typeddict(hint):
        fields = _checks(hint)
        return lambda value: (
            isinstance(value, dict)
            and value.keys() == fields.keys()
            and all(check(value[name]) for name, check in fields.items())
        )
    if hint is float:
        return _is_float
    if hint is bool:
        return lambda value: isinstance(value, bool)
    return lambda value: isinstance(value, hint) and not isinstance(value, bool)


def _is_float(value: object) -> bool:
    """Return whether a value is a float, or a whole number that can become one."""
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_finite(value: Any) -> bool:
    """Return whether all numbers in a value from JSON are finite."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    return all(map(is_finite, value.values() if kind is dict else value)) if kind in (dict, list) else True


def _described(hint: object) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(_described, typing.get_args(hint)))
    if typing.is_typeddict(hint):
        return f"a dictionary of {', '.join(typing.get_type_hints(hint))}"
    if hint is types.NoneType:
        return "null"
    return hint.__name__ if hint in (bool, int, float, str) else str(hint)
