"""Packages that are broken: one line that names them, whatever they raise, and exit status 1."""

import os
import subprocess
import sys

import pytest

from alps_exp.cli.imports import import_fault

BROKEN = {
    "torchvision": [
        "import torch\n\n\n@torch.library.register_fake('torchvision::nms')\ndef nms(boxes): ...",
    ],
    "torch": ["raise OSError('libtorch_cpu.so: undefined symbol')"],
    "numpy": ["raise ImportError('''\n\nIMPORTANT: PLEASE READ THIS\n\nImporting the numpy C-extensions failed.''')"],
    "h5py": [
        "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility')",
        "raise SystemError('initialization of _C raised unreported exception')",
        "import numpy\nnumpy.no_such_thing",
    ],
    "hydra": ["raise ImportError('broken')"],
}
CASES = [(package, source) for package, sources in BROKEN.items() for source in sources]


TWO_REQUESTS = """
import sys
from alps_exp.cli.main import main
for words in sys.argv[1:]:
    sys.argv = ["alps", *words.split()]
    try:
        main()
    except SystemExit as stop:
        print("status", stop.code, file=sys.stderr, flush=True)
"""


def alps(folder, *arguments, program=("-m", "alps_exp")):
    path = os.pathsep.join([str(folder), *sys.path])
    command = [sys.executable, *program, *arguments]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    environment.pop("HYDRA_FULL_ERROR", None)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def broken(folder, package, source):
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("from . import body\n")
    (folder / package / "body.py").write_text(source)


@pytest.mark.parametrize(("package", "source"), CASES)
def test_a_broken_package_is_one_line(tmp_path, package, source):
    broken(tmp_path, package, source)
    done = alps(tmp_path, "restore", "logger=none")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("alps: ") and package in line
    assert not (tmp_path / "outputs" / "restore").exists() or not list(tmp_path.rglob("DONE"))


def test_a_broken_package_that_only_some_requests_need_is_one_line(tmp_path):
    broken(tmp_path, "wandb", "raise AttributeError('module protobuf has no attribute x')")
    broken(tmp_path, "sigpy", "def f(): import not_there_at_all\nf()")
    mri = "restore logger=none data=brain teacher=brain64 energy=brain64 operator=mri_poisson_6x sampler=zero_filled"
    done = alps(tmp_path, "restore logger=wandb", mri, program=("-c", TWO_REQUESTS))
    told = [line for line in done.stderr.splitlines() if line.startswith(("alps: ", "status "))]
    assert told[1::2] == ["status 1", "status 1"]
    for package, line in zip(("wandb", "sigpy"), told[::2], strict=True):
        assert line.startswith("alps: ") and package in line
    assert not list(tmp_path.rglob("DONE"))


def test_a_broken_package_is_one_line_for_a_sweep_too(tmp_path):
    broken(tmp_path, "torch", BROKEN["torch"][0])
    done = alps(tmp_path, "distill", "-m", "logger=none", "seed=0,1")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "torch" in done.stderr


def test_a_table_needs_no_torch(tmp_path):
    broken(tmp_path, "torchvision", BROKEN["torchvision"][0])
    done = alps(tmp_path, "table", "runs=nowhere")
    assert done.returncode == 2 and "no folder nowhere" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--version",)])
def test_help_needs_no_torch(tmp_path, arguments):
    broken(tmp_path, "torch", BROKEN["torch"][0])
    assert alps(tmp_path, *arguments).returncode == 0


def fault(source, tmp_path, monkeypatch, name):
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        __import__(name)
    except Exception as error:
        return import_fault(error)


def test_it_is_the_package_whose_body_failed_that_is_named(tmp_path, monkeypatch):
    assert "lab_a " in fault("1 / 0", tmp_path, monkeypatch, "lab_a")
    assert "lab_a " in fault("import lab_a", tmp_path, monkeypatch, "lab_b")
    assert "not_there, which lab_c needs, is not installed" in fault("import not_there", tmp_path, monkeypatch, "lab_c")
    assert "package json cannot" in fault("from json import nothing", tmp_path, monkeypatch, "lab_d")


def test_other_errors_are_none_of_an_import():
    try:
        raise ValueError("x")
    except ValueError as error:
        assert import_fault(error) is None


def test_an_import_error_without_a_name_speaks_for_itself():
    assert import_fault(ImportError("a figure needs\n  something")) == "a figure needs something"
