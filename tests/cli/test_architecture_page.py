"""The architecture page: its walks are what runs, in the order it says, and its files are there."""

import ast
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "alps_exp"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def walk(verb):
    """Return the lines file:function of a verb's walk."""
    section = PAGE.split(f"## One `{verb}`")[1].split("\n## ")[0]
    return re.findall(r"^    (\S+\.py:\S+)", section, re.M)


def functions(path):
    """Yield first line and qualified name of every function in a file."""

    def visit(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                yield min(n.lineno for n in (child, *child.decorator_list)), prefix + child.name
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                yield from visit(child, f"{prefix}{child.name}.")

    yield from visit(ast.parse(path.read_text()), "")


@pytest.fixture
def first_calls(alps):
    """Return what runs a command and gives the functions of ours that it called, in the order of their first calls."""
    files = {str(path): path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
    names = {(file, line): name for file in files for line, name in functions(Path(file))}

    def run(*arguments):
        called = {}

        def note(frame, event, argument):
            code = frame.f_code
            if event == "call" and (name := names.get((code.co_filename, code.co_firstlineno))):
                called[f"{files[code.co_filename]}:{name}"] = None

        sys.setprofile(note)
        threading.setprofile(note)  # of threads that begin from now on, as that which judges and writes
        try:
            status, out, err = alps(*arguments)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        assert status == 0, out + err
        return list(called)

    return run


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    parts = ("train", "validation", "test")
    sizes = [
        f"data.{part}.{key}={value}" for part in parts for key, value in (("path", tmp_path / "images"), ("size", 16))
    ]
    return ["data=folder", *sizes, "data.batch_size=2", "logger=none", f"output_root={tmp_path / 'out'}"]


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("restore", ["sampler.schedule.steps=3", "num_samples=2"]),
        ("distill", ["trainer.max_steps=2", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"]),
    ],
)
def test_a_walk_is_what_runs(first_calls, images, models, verb, more):
    weights = models if verb == "restore" else [word for word in models if word.startswith("teacher")]
    called = first_calls(verb, *images, *weights, *more)
    steps = walk(verb)
    assert len(steps) > 25 and not set(steps) - set(called)
    places = [called.index(step) for step in steps]
    out_of_order = [step for step, place, before in zip(steps[1:], places[1:], places, strict=False) if place < before]
    assert not out_of_order


def test_what_a_newcomer_looks_for_is_there():
    rows = re.findall(r"^\| .* \| `([\w/.]+)` \|$", PAGE.split("## Where is ...?")[1], re.M)
    assert len(rows) >= 20 and not [row for row in rows if not (SOURCE / row).exists()]


def test_every_room_is_on_the_page():
    rooms = {path.parent.name + "/" for path in SOURCE.glob("*/__init__.py")}
    assert rooms == set(re.findall(r"^\| `(\w+/)` ", PAGE.split("## The rooms")[1].split("\n## ")[0], re.M))
