"""Docstrings of the rooms' exports: every argument has an entry."""

import importlib
import inspect
import re
from itertools import pairwise
from pathlib import Path

import pytest

import alps_exp

SOURCE = Path(alps_exp.__file__).parent
ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
ENTRY = re.compile(r"(\w+(?:, \w+)*)(?: : \S.*)?")
NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def exports():
    for room in ROOMS:
        module = importlib.import_module(f"alps_exp.{room}")
        for name in getattr(module, "__all__", ()):
            if callable(export := getattr(module, name)):
                yield pytest.param(export, id=f"{room}.{name}")


def arguments(export):
    """Return the names of the arguments that the docstring of a class or a function should have."""
    if inspect.isclass(export) and "__init__" not in vars(export):
        return []
    named = [p for p in inspect.signature(export).parameters.values() if p.kind in NAMED]
    if inspect.isroutine(export) and [p.kind for p in named] == [inspect.Parameter.POSITIONAL_ONLY]:
        return []
    return [p.name for p in named]


def sections(docstring):
    """Return the lines of each section of a numpydoc docstring, by heading."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    heads = [i for i, (a, b) in enumerate(zip(lines, lines[1:], strict=False)) if a and re.fullmatch("-{3,}", b)]
    return {lines[i]: lines[i + 2 : end] for i, end in pairwise([*heads, len(lines)])}


def documented(docstring):
    """Return the names that have an entry, one without indentation and with a description, of arguments or fields."""
    parts = sections(docstring)
    names = set()
    for lines in (parts.get("Parameters", []), parts.get("Attributes", [])):
        for line, below in zip(lines, lines[1:], strict=False):
            if re.match(r"\s+\S", below) and (entry := ENTRY.fullmatch(line)):
                names |= set(entry[1].split(", "))
    return names


@pytest.mark.parametrize("export", exports())
def test_every_argument_of_an_export_has_an_entry(export):
    assert [name for name in arguments(export) if name not in documented(export.__doc__)] == []


def test_entries_are_told_from_text():
    docstring = """Text about a.

    Parameters
    ----------
    b, c
        Text about d.

        More text about
        e
    f : float
        Text.
    g
    Source: h.

    Returns
    -------
    i
        Text.
    """
    assert documented(docstring) == {"b", "c", "f"}


def test_arguments_are_those_of_the_call():
    class Base:
        def __init__(self, a, *args, b=0, **kwargs): ...

    class Heir(Base): ...

    def one(x, /): ...

    def two(x, /, y): ...

    assert [arguments(thing) for thing in (Base, Heir, one, two)] == [["a", "b"], [], [], ["x", "y"]]
