"""Checks every key and type of a request against the signature of its target."""

from __future__ import annotations

import difflib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from alps_exp.errors import one_line

HYDRA_KEYS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], path: str = "") -> None:
    """Check that `function(**arguments)` would be a valid call: known parameters, none missing, values of their types.

    Arguments that are configs with a `_target_` are checked recursively, including partial ones. Positional-only
    parameters are supplied by the caller, never by the request.

    Raises
    ------
    ValueError
        With the key, what was given, and what was expected.
    """
    parameters = {
        name: p for name, p in inspect.signature(function).parameters.items() if p.kind is not p.POSITIONAL_ONLY
    }
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = _type_hints(function)
    for key, value in arguments.items():
        if key in HYDRA_KEYS:
            continue
        full_key = f"{path}{key}"
        if key not in parameters:
            if not open_ended:
                raise ValueError(f"unknown key {full_key!r}{nearest(key, parameters, prefix=path)}")
        elif key in hints and not _fits(value, hints[key]):
            expected = _describe(hints[key])
            raise ValueError(f"{full_key} is {value!r}, expected {expected}")
        check_targets(value, f"{full_key}.")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and parameter.kind not in VARIABLE and name not in arguments:
            expected = _describe(hints[name]) if name in hints else "a value"
            raise ValueError(f"no {path}{name} is given, expected {expected}")


def check_targets(value: Any, path: str) -> None:
    """Check every config with a `_target_` in `value`; raises as `check_arguments`."""
    if isinstance(value, Mapping) and "_target_" in value:
        check_arguments(resolve_target(value["_target_"], f"{path}_target_"), value, path)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_targets(item, f"{path}{key}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_targets(item, f"{path}{index}.")


def resolve_target(name: Any, key: str) -> Callable[..., Any]:
    """Import a `_target_`; raises ValueError with its `key` if it does not exist or cannot be imported."""
    try:
        return pkgutil.resolve_name(name)
    except Exception as error:  # a user's module can raise anything on import
        reason = one_line(f"{type(error).__name__}: {error}")
        raise ValueError(f"{key} is {name!r}, expected what can be imported ({reason})") from error


def nearest(given: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a phrase with the closest known choice, or with all choices if none is close."""
    known = [name for name in known if name != "self"]
    if close := difflib.get_close_matches(given, known, n=1, cutoff=0.6):
        return f": did you mean {prefix}{close[0]}?"
    return f": expected one of {', '.join(prefix + name for name in sorted(known))}"


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except NameError:  # annotations that only type checkers can resolve
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value from YAML has the given type; configs of objects always pass."""
    if isinstance(value, Mapping):
        return True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is not None and inspect.isclass(origin) and issubclass(origin, Sequence):
        inner = [a for a in arguments if a is not Ellipsis]
        return isinstance(value, list) and (not inner or all(_fits(item, inner[0]) for item in value))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool):
        return isinstance(value, hint)
    if hint is type(None):
        return value is None
    return hint is Any or not inspect.isclass(hint) or not isinstance(value, int | float | str | list)


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_describe(argument) for argument in typing.get_args(hint))
    names = {float: "a number", int: "a whole number", str: "text", bool: "true or false", type(None): "null"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))
