"""What docstrings say of classes, functions and their parameters, read from the source: nothing is imported for it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
NUMPY_ENTRY = re.compile(r"^(?! )(.+(?:\n(?! ).+)*)\n((?: .*\n?|\n)+)", re.MULTILINE)
GOOGLE_ENTRY = re.compile(r"^ {4}(\w+)(?: \(.*\))?: *((?:.*\n?)(?:^(?: {5}.*)?\n?)*)", re.MULTILINE)
REFERENCE = re.compile(r"^As in `([\w.]+)`")
SENTENCE = re.compile(r"(.*?(?<!e\.g)(?<!i\.e)(?<!etc))[.:]?(?:\.\s|\n\n|$)", re.DOTALL)
MARKUP = ((re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`"), r"\1"), (re.compile(r"`{1,2}"), ""))


@dataclass(frozen=True)
class Definition:
    """A class or function, and the module that defines it."""

    module: str
    node: ast.ClassDef | ast.FunctionDef

    @property
    def docstring(self) -> str:
        """The docstring; empty if there is none."""
        return ast.get_docstring(self.node) or ""

    def docstrings(self) -> list[str]:
        """Return the docstrings in which parameters are described: that of a class, and of its ``__init__``."""
        methods = [one for one in self.node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
        return [self.docstring, *(ast.get_docstring(one) or "" for one in methods)]

    def bases(self) -> Iterator[Definition]:
        """Yield the base classes whose source is found."""
        for base in self.node.bases if isinstance(self.node, ast.ClassDef) else ():
            if (found := find(f"{self.module}.{ast.unparse(base)}")) is not None:
                yield found


def find(name: str) -> Definition | None:
    """Return the definition of a class or function by its full name, also where it is imported; None if unknown."""
    module, _, attribute = name.rpartition(".")
    tree = _tree(module)
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            return Definition(module, node)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == attribute:
                    return find(f"{_source_of(node, module)}.{alias.name}")
    return None


def summary(name: str) -> str:
    """Return the first sentence of a docstring; empty if there is none."""
    found = find(name)
    return _plain(found.docstring) if found else ""


def parameters(name: str) -> dict[str, str]:
    """Return the first sentence on each parameter of a class or function, as its docstring says it.

    Those of the base classes count too, and ``As in `Base` `` is replaced by what it refers to.
    """
    found = find(name)
    return {key: _plain(text) for key, text in _entries(found).items()} if found else {}


def examples(name: str) -> list[str]:
    """Return the lines of the section ``Examples`` of a docstring."""
    found = find(name)
    return _sections(found.docstring).get("Examples", "").strip().splitlines() if found else []


def _entries(definition: Definition) -> dict[str, str]:
    known = {key: text for base in reversed([*definition.bases()]) for key, text in _entries(base).items()}
    own = {key: text for one in definition.docstrings() for key, text in _own_entries(one).items()}
    for key, text in own.items():
        if (reference := REFERENCE.match(text)) is None:
            known[key] = text
        elif (target := find(f"{definition.module}.{reference[1]}") or find(reference[1])) is not None:
            known[key] = _entries(target).get(key, text)
    return known


def _own_entries(docstring: str) -> dict[str, str]:
    """Return the text on each parameter in a docstring in the style of NumPy or of Google."""
    sections = _sections(docstring)
    listed = NUMPY_ENTRY.findall("\n".join(sections.get(name, "") for name in ("Attributes", "Parameters")))
    _, found, google = docstring.partition("\nArgs:\n")
    listed += GOOGLE_ENTRY.findall(re.split(r"^\S", google, maxsplit=1, flags=re.MULTILINE)[0]) if found else []
    return {
        key.strip(" *"): inspect.cleandoc(text)
        for names, text in listed
        for key in names.partition(":")[0].replace("\n", ",").split(",")
    }


def _sections(docstring: str) -> dict[str, str]:
    _, *parts = SECTION.split(docstring)
    return dict(zip(parts[::2], (f"{part.strip(chr(10))}\n" for part in parts[1::2]), strict=True))


def _plain(text: str) -> str:
    """Return the first sentence without markup, on one line."""
    found = SENTENCE.match(text)
    sentence = found[1] if found else text
    for pattern, replacement in MARKUP:
        sentence = pattern.sub(replacement, sentence)
    return " ".join(sentence.split())


@cache
def _tree(module: str) -> ast.Module | None:
    spec = _spec(module.split("."))
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(spec.origin).read_bytes())
    except SyntaxError as error:
        raise ValueError(f"{spec.origin} cannot be read: {error}") from error


def _spec(parts: Sequence[str]) -> ModuleSpec | None:
    """Return where a module is, without importing the packages that it is in."""
    spec = find_spec(parts[0]) if parts[0].isidentifier() else None
    for depth in range(2, len(parts) + 1):
        if spec is None:
            return None
        spec = PathFinder.find_spec(".".join(parts[:depth]), spec.submodule_search_locations)
    return spec


def _source_of(node: ast.ImportFrom, module: str) -> str:
    """Return the full name of the module that an import names."""
    if not node.level:
        return str(node.module)
    spec = _spec(module.split("."))
    package = module.split(".") if spec and spec.submodule_search_locations else module.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
