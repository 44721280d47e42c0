"""The rooms of the package: what each may import of the others, and of the heavy libraries."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "alps_exp"
FLOOR = {
    "__init__",
    "batch",
    "checks",
    "content_hashes",
    "crops",
    "errors",
    "estimates",
    "files",
    "folding",
    "foreign_files",
    "intervals",
    "live_line",
    "orphans",
    "packages",
    "pictures",
    "randomness",
    "representation",
    "source",
}
"""Modules that every room may import, and that import none."""
ROOMS = {
    "networks": set(),
    "operators": set(),
    "masks": set(),
    "datasets": set(),
    "mri": set(),
    "runs": set(),
    "config": set(),
    "checkpoints": {"networks"},
    "priors": {"checkpoints", "networks"},
    "samplers": {"operators", "priors"},
    "reconstruction": {"operators", "priors"},
    "training": {"checkpoints", "networks", "priors"},
    "evaluation": {"operators", "priors"},
    "lightning": {"datasets", "runs", "training"},
    "report": {"runs"},
    "export": {"runs"},
    "restoration": {
        "datasets",
        "evaluation",
        "lightning",
        "masks",
        "operators",
        "priors",
        "reconstruction",
        "report",
        "runs",
        "samplers",
    },
    "benchmarks": {"datasets", "lightning", "masks", "operators", "priors", "samplers", "training"},
    "cli": {
        "benchmarks",
        "checkpoints",
        "config",
        "datasets",
        "evaluation",
        "export",
        "lightning",
        "masks",
        "mri",
        "priors",
        "reconstruction",
        "report",
        "restoration",
        "runs",
        "samplers",
        "training",
    },
}
"""From the bottom up: a room imports only rooms that come before it."""
HOMES = {
    "hydra": {"cli", "config", "lightning"},
    "omegaconf": {"cli", "config", "lightning", "restoration", "runs"},
    "pytorch_lightning": {"cli", "lightning", "restoration", "training"},
    "pandas": {"report", "restoration"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "wandb": {"lightning"},
    "sigpy": set(),
    "nibabel": set(),
    "tifffile": set(),
    "nilearn": set(),
    "skimage": set(),
}
"""Rooms that may import a library; those of none are imported by `packages.require` alone."""


def room_of(path):
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path):
    """Yield the full name of every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_arrows(path):
    """Return what a file imports and its room may not."""
    room, wrong = room_of(path), []
    for name in imports(path):
        library, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if library == "alps_exp":
            if target == "__version__" or target == room or (target in FLOOR and room != "__init__"):
                continue
            allowed = {
                "__main__": {"cli"},
                "__init__": {"estimates", "operators", "priors", "reconstruction", "restoration", "samplers"},
            }.get(room, ROOMS.get(room, set()))
            wrong += [] if target in allowed else [name]
        elif library in HOMES and room not in HOMES[library]:
            wrong.append(name)
    return wrong


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_what_its_room_may(path):
    assert room_of(path) in {*ROOMS, *FLOOR, "__main__"}, "a room or a module of the floor that this test does not know"
    assert wrong_arrows(path) == []


def test_no_arrow_turns_back():
    below = set()
    for room, allowed in ROOMS.items():
        assert allowed <= below, f"{room} may import a room that comes after it"
        below.add(room)


def test_every_arrow_that_is_allowed_is_used():
    used = {(room_of(path), name.split(".")[1]) for path in FILES for name in imports(path) if "alps_exp." in name}
    assert {(room, target) for room, allowed in ROOMS.items() for target in allowed} <= used


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("samplers/x.py", "from alps_exp.restoration import Restoration", True),
        ("samplers/x.py", "import alps_exp.cli.main", True),
        ("samplers/x.py", "def f():\n    from alps_exp.masks.base import Mask", True),
        ("files.py", "from alps_exp.runs import RunFolder", True),
        ("masks/x.py", "import sigpy.mri", True),
        ("samplers/x.py", "from alps_exp.operators import LinearOperator", False),
        ("runs/x.py", "from alps_exp import __version__", False),
    ],
)
def test_the_rules_find_a_wrong_import(tmp_path, monkeypatch, file, line, wrong):
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(line)
    assert bool(wrong_arrows(tmp_path / file)) is wrong


def test_nothing_takes_more_than_six_arguments_by_position():
    """Networks excepted, whose arguments are the published ones."""
    long = []
    for path in (path for path in FILES if room_of(path) != "networks"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
                long += [f"{path.relative_to(SOURCE)}:{node.name}"] if len(names) > 6 else []
    assert long == []
