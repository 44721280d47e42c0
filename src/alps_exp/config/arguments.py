"""Checks every key and type of a request against the signature of its target."""

from __future__ import annotations

import difflib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from alps_exp.errors import one_line

HYDRA_KEYS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
PLAIN = (int, float, str, list, Mapping)
PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}
PATHS = ("path", "source", "runs", "paper", "lpips")
"""Keys whose empty value would mean the current folder, or nothing that can be named."""

Function = Callable[..., object]


def check_arguments(function: Function, arguments: Mapping[str, object], path: str = "") -> None:
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
            expected = _describe(hints[key]) + _cure(value, hints[key])
            raise ValueError(f"{full_key} is {_shown(value)}, expected {expected}")
        elif value == "" and key in PATHS:
            raise ValueError(f"{full_key} is empty, expected a path")
        check_targets(value, f"{full_key}.")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and parameter.kind not in VARIABLE and name not in arguments:
            expected = _describe(hints[name]) if name in hints else "a value"
            raise ValueError(f"no {path}{name} is given, expected {expected}")


def check_targets(value: object, path: str) -> None:
    """Check every config with a `_target_` in `value`; raises as `check_arguments`."""
    if isinstance(value, Mapping) and "_target_" in value:
        check_arguments(resolve_target(value["_target_"], f"{path}_target_"), value, path)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_targets(item, f"{path}{key}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_targets(item, f"{path}{index}.")


def resolve_target(name: str, key: str) -> Function:
    """Import a `_target_`; raises ValueError with its `key` if it does not exist or cannot be imported."""
    try:
        target: Function = pkgutil.resolve_name(name)
    except Exception as error:  # a user's module can raise anything on import
        if name.startswith("alps_exp.") and not isinstance(error, ImportError | AttributeError | ValueError):
            raise  # a package that ours needs is broken, which is no fault of the request
        reason = one_line(f"{type(error).__name__}: {error}")
        raise ValueError(f"{key} is {name!r}, expected what can be imported ({reason})") from error
    if not callable(target):
        raise ValueError(f"{key} is {name!r}, expected a class or a function")
    return target


def nearest(given: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a phrase with the closest known choice, or with all choices if none is close."""
    known = [name for name in known if name != "self"]
    by_lower = {name.lower(): name for name in known}
    if close := difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6):
        return f": did you mean {prefix}{by_lower[close[0]]}?"
    return f": expected one of {', '.join(prefix + name for name in sorted(known))}"


def _type_hints(function: Function) -> dict[str, object]:
    try:
        return typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except NameError:  # annotations that only type checkers can resolve
        return {}


def _fits(value: object, hint: object) -> bool:
    """Return whether a value from YAML has the given type; what a config of an object will give is not known."""
    if hint in (Any, object) or (isinstance(value, Mapping) and "_target_" in value):
        return True
    kind, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if value is None and inspect.isclass(kind) and kind is not types.UnionType:
        return kind is types.NoneType
    if kind in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in inner)
    if kind is Literal:
        return value in inner
    if not inspect.isclass(kind):  # a type variable
        return True
    if kind in (int, float):
        return isinstance(value, int | float if kind is float else int) and not isinstance(value, bool)
    if kind in (str, bool, types.NoneType):
        return isinstance(value, kind)
    if issubclass(kind, Mapping | DictConfig):
        return isinstance(value, Mapping) and all(_fits(item, inner[-1]) for item in value.values() if inner)
    if issubclass(kind, Sequence):
        return isinstance(value, list) and _items_fit(value, inner)
    return not isinstance(value, PLAIN)


def _items_fit(items: Sequence[object], hints: Sequence[object]) -> bool:
    """Return whether the items of a list fit ``list[T]``, ``tuple[T, ...]`` or ``tuple[T, U]``."""
    if len(hints) > 1 and Ellipsis not in hints:
        return len(items) == len(hints) and all(map(_fits, items, hints))
    return all(_fits(item, hints[0]) for item in items if hints)


def _shown(value: object) -> str:
    """Return a value as one writes it in a config."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return repr(value)


def _cure(value: object, hint: object) -> str:
    """Return how a number or a truth value becomes a text, where a text is expected."""
    if value is None or not isinstance(value, bool | int | float) or not _fits("text", hint):
        return ""
    return f": quote it, as \"'{_shown(value)}'\""


def _describe(hint: object) -> str:
    kind, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is Literal:
        return "one of " + ", ".join(map(str, inner))
    if kind in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_describe(argument) for argument in inner))
    if inspect.isclass(kind) and kind is not str and issubclass(kind, Sequence):
        return f"a list of {PLURALS.get(inner[0], 'values')}" if inner else "a list"
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "settings {key: value}"
    names: dict[object, str] = {
        float: "a number",
        int: "a whole number",
        str: "text",
        bool: "true or false",
        types.NoneType: "null",
        DictConfig: "settings {key: value}",
        Path: "a path",
    }
    return names.get(hint) or (f"settings with a _target_, a {hint.__name__}" if inspect.isclass(hint) else str(hint))
