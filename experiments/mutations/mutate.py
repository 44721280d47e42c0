"""Do the tests notice? Change one operator or number of the source at a time, and run the tests on it.

    python experiments/mutations/mutate.py --seed 0 --count 60

Each mutant is made in a copy of the tree. Its site is drawn at random, by the seed, from the arithmetic operators,
comparisons, boolean operators, signs and numbers of the chosen rooms, except those in error messages and defaults. The
tests of its room run on it, those of its file first. Survivors are listed with their line, to be judged by a reader.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
TESTS = {
    "operators": ["tests/operators"],
    "samplers": ["tests/samplers"],
    "evaluation": ["tests/evaluation", "tests/restoration", "tests/cli/test_calibrate.py"],
}
KILLED, TIMEOUT = "killed", "killed (time)"


@dataclass(frozen=True)
class Mutant:
    """A file, the place of a node in the order of a walk through its tree, and what is changed there."""

    path: Path
    place: int
    line: int
    change: str


def sites(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    tree = ast.parse(path.read_text())
    quiet = {id(inner) for node in ast.walk(tree) if _is_quiet(node) for inner in ast.walk(node)}
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in quiet and (change := _mutate(copy.copy(node))):
            yield Mutant(path, place, node.lineno, change)  # type: ignore[attr-defined]


def _is_quiet(node: ast.AST) -> bool:
    """Return whether a node changes no number: messages, annotations, defaults and subscripts of types."""
    return isinstance(node, ast.Raise | ast.JoinedStr | ast.arguments | ast.AnnAssign | ast.Assert)


def _mutate(node: ast.AST) -> str | None:
    """Change a node in place, and say how; None if there is nothing to change."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
        before, node.op = node.op, SWAPS[type(node.op)]()  # type: ignore[assignment]
        return f"{type(before).__name__} -> {type(node.op).__name__}"
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        before, node.ops = node.ops[0], [SWAPS[type(node.ops[0])](), *node.ops[1:]]  # type: ignore[list-item]
        return f"{type(before).__name__} -> {type(node.ops[0]).__name__}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        node.op = ast.UAdd()
        return "-x -> +x"
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        before = node.value
        node.value = before + 1
        return f"{before} -> {node.value}"
    return None


def mutated(mutant: Mutant) -> str:
    """Return the source of a mutant."""
    tree = ast.parse(mutant.path.read_text())
    node = next(node for place, node in enumerate(ast.walk(tree)) if place == mutant.place)
    _mutate(node)
    return ast.unparse(ast.fix_missing_locations(tree))


@contextmanager
def copied() -> Iterator[Path]:
    """Yield a copy of the tree."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "outputs", "pack", "out"))
        yield tree


def survives(tree: Path, tests: list[str], seconds: float) -> str | None:
    """Run tests on a tree; return how the mutant died, or None if it lives."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return TIMEOUT
    return None if done.returncode == 0 else KILLED


def tests_of(mutant: Mutant) -> list[str]:
    """Return the tests of a mutant's room, those of its file first."""
    room = mutant.path.parent.name
    own = sorted((ROOT / "tests" / room).glob(f"test_{mutant.path.stem}*.py"))
    return [*(str(path.relative_to(ROOT)) for path in own), *TESTS[room]]


def fate_of(mutant: Mutant, seconds: float, all_tests: bool) -> str | None:
    """Return how a mutant died, or None if it lives."""
    with copied() as tree:
        (tree / mutant.path.relative_to(ROOT)).write_text(mutated(mutant))
        fate = survives(tree, tests_of(mutant), seconds)
        return survives(tree, ["tests"], 4 * seconds) if fate is None and all_tests else fate


def main() -> None:
    """Draw the mutants, test them, and list the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--rooms", nargs="+", default=list(TESTS), choices=list(TESTS))
    parser.add_argument("--seconds", type=float, default=600, help="limit of one run of a room's tests")
    parser.add_argument("--processes", type=int, default=1, help="mutants that are tested side by side")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the drawn mutants to test; all by default")
    parser.add_argument("--all-tests", action="store_true", help="what survives its room's tests meets all tests")
    arguments = parser.parse_args()
    package = ROOT / "src" / "alps_exp"
    found = [
        mutant for room in arguments.rooms for path in sorted((package / room).glob("*.py")) for mutant in sites(path)
    ]
    drawn = dict(enumerate(random.Random(arguments.seed).sample(found, arguments.count), 1))
    chosen = {number: drawn[number] for number in arguments.only or drawn}
    for room in {mutant.path.parent.name for mutant in chosen.values()}:
        with copied() as tree:
            if survives(tree, TESTS[room], arguments.seconds):
                sys.exit(f"the tests of {room} fail on the tree as it is: every mutant would count as killed")
    survivors = []
    print(f"{len(found)} sites, seed {arguments.seed}")
    with ThreadPoolExecutor(arguments.processes) as pool:
        fates = pool.map(lambda mutant: fate_of(mutant, arguments.seconds, arguments.all_tests), chosen.values())
        for (number, mutant), fate in zip(chosen.items(), fates, strict=True):
            survivors += [mutant] if fate is None else []
            place = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
            print(f"{number:3} {fate or 'SURVIVED':14} {place} {mutant.change}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed")
    for mutant in survivors:
        line = mutant.path.read_text().splitlines()[mutant.line - 1].strip()
        print(f"survived: {mutant.path.relative_to(ROOT)}:{mutant.line} {mutant.change}\n    {line}")


if __name__ == "__main__":
    main()
