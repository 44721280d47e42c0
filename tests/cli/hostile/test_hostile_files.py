"""Hostile files cost their sender the command, and nobody anything else.

Each file of `hostile_cases` is given to the command line that reads it, in a process of its own. None of its code may
run, nothing outside the command's folder may be read into a result, changed or deleted, and the command ends in time,
in little memory, with status 0, 1 or 2 and lines that say why.
"""

import importlib
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback

import h5py
import numpy as np
import pytest
from hostile_cases import CASES, PREPARE, RESUME
from hostile_pictures import picture
from hostile_place import SECRET, Place
from test_measured_kspace import write_fastmri  # of the folder above, which its conftest.py puts on the path

from alps_exp.checkpoints import save_model
from alps_exp.cli import main as command
from alps_exp.cli.verbs import VERBS, verb_function
from alps_exp.mri import EspiritMaps, FastMRIVolume, preparation
from alps_exp.runs import ImageResult, Record, RunFolder

pytestmark = pytest.mark.slow

MEMORY, SECONDS, PATIENCE = 1e9, 20, 60
"""Bytes above those of the imports, seconds of the processor, and seconds on the clock before a command is killed."""
ROOM = 6 << 30
LAZY = ("sigpy.mri.app", "nrrd", "torch.utils.data", "numba")
LONGEST = 20_000
"""Characters of what a command says."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree")
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")


class InThisProcess:
    """Prepares volumes one after the other here, where memory and time are measured."""

    def __init__(self, count):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, function, *arguments):
        future = preparation.Future()
        future.set_result(function(*arguments))
        return future


def memory():
    """Return the bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def watch(folder, log):
    """Note the files that this process opens for writing or changes outside a folder, and the programs it starts."""

    def note(event, arguments):
        if event in STARTS:
            words = [str(word) for word in (arguments[1] if event == "subprocess.Popen" else arguments)]
            if words[:1] != ["git"]:
                os.write(log, f"starts {words}\n".encode())
        elif event in CHANGES or (event == "open" and arguments[2] and arguments[2] & WRITES):
            path = "" if isinstance(arguments[0], int) else os.fsdecode(arguments[0])
            if event == "open":
                path = os.path.realpath(path)
            elif path:  # the link itself, where it is one
                path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            if path and not path.startswith((folder, "/dev/null")) and "__pycache__" not in path:
                os.write(log, f"{event} {path}\n".encode())

    sys.addaudithook(note)


def in_a_child(words, folder):
    """Run the command line in a fork; return its status, all that it said, memory, seconds, and what it did outside."""
    said, doings = folder.parent / "said", folder.parent / "doings"
    before = memory()
    child = os.fork()
    if not child:
        status = 70
        try:
            os.chdir(folder)
            out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(out, stream)
            sys.stdout = sys.stderr = open(out, "w", buffering=1, errors="replace")
            os.environ |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / ".cache"), "TMPDIR": str(folder)}
            os.environ["PATH"] = f"{folder.parent / 'bin'}:{os.environ['PATH']}"
            with open("/proc/self/statm") as file:
                size = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 5, SECONDS + 5))
            preparation._workers = InThisProcess
            sys.argv = ["alps", *words]
            watch(str(folder.resolve()), os.open(doings, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
            command.main()
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 71
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    end = time.monotonic() + PATIENCE
    while not (found := os.wait4(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            found = os.wait4(child, 0)
            break
        time.sleep(0.02)
    _, state, used = found
    seconds = used.ru_utime + used.ru_stime
    grown = used.ru_maxrss * 1024 - before
    return os.waitstatus_to_exitcode(state), said.read_text(errors="replace"), grown, seconds, doings.read_text()


def content(folder):
    """Return what is in a folder: the bytes of its files, and when they were changed."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def secret_volume(path):
    """Write whole k-space with all that other files could borrow of it."""
    write_fastmri(path, 2)
    with h5py.File(path, "r+") as file:
        file["scan"] = (np.random.default_rng(0).standard_normal((4, 400, 2)) @ [1, 1j]).astype("c8")
        file["mask"], file["truth"] = np.ones((12, 12), bool), np.zeros((1, 12, 12), "f4")
        file["reconstruction_rss"] = np.ones((2, 16, 14), "f4")


@pytest.fixture(scope="module")
def base(tmp_path_factory, network):
    """Return a folder of whole files: k-space, prepared k-space, a run, and a model; beside it one of secrets."""
    for verb in VERBS:
        verb_function(verb)
    for module in LAZY:
        importlib.import_module(module)
    folder = tmp_path_factory.mktemp("base") / "base"
    (folder / "files").mkdir(parents=True)
    write_fastmri(folder / "good.h5", 2)
    for name in ("good", "bad"):
        shutil.copy(folder / "good.h5", folder / "files" / f"{name}.h5")
    save_model(folder / "energy.safetensors", network(1, size=16), "energy")
    recipe = preparation.PreparationSettings(FastMRIVolume, EspiritMaps(8, 3, max_iterations=30), "auto", True, {})
    preparation.prepare_file(folder / "good.h5", folder / "warm.h5", recipe)  # which compiles what children would
    for words in (PREPARE, RESUME):
        status, said, *_ = in_a_child(words, folder)
        assert status == 0, said
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(f"{SECRET}\n")
    (outside / "mask.raw").write_bytes(b"\1" * 144)
    (outside / "secret.png").write_bytes(picture())
    secret_volume(outside / "secret.h5")
    with h5py.File(outside / "secret.h5") as file:
        (outside / "secret.raw").write_bytes(file["kspace"][()].tobytes())
    shutil.copytree(folder / "prepared", outside / "prepared")
    record = Record(SECRET, SECRET, "inpaint_random", 0.05, "alps", 0, "mmse", psnr=20.0)
    RunFolder(outside).save_result("result", ImageResult([record]))
    shutil.copy(outside / "images" / "result.h5", outside / "result.h5")
    (outside / "images" / ".result.h5.1.tmp").write_text("kept")
    return folder


@pytest.fixture
def place(tmp_path, base):
    """Return the folders of a case, and a program that PostScript would start."""
    made = Place(tmp_path / "a" / "b" / "work", tmp_path / "outside", base)
    made.folder.mkdir(parents=True)
    (tmp_path / "a" / "outside").symlink_to(made.outside)  # for what climbs fewer folders
    (tmp_path / "a" / "b" / "outside").symlink_to(made.outside)
    shutil.copytree(base.parent / "outside", made.outside)
    gs = made.folder.parent / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\necho gs > {made.canary}\n")
    gs.chmod(0o755)
    yield made
    shutil.rmtree(tmp_path)


def results_of_bad(folder):
    """Return the results that a command made of a hostile file, among those of whole ones."""
    volumes = [str(path) for path in folder.glob("prepared/volumes/bad.h5") if (folder / "files").exists()]
    found = [record for path in folder.glob("outputs/**/records.jsonl") for record in RunFolder(path.parent).records()]
    others = ("good", "prior") if (folder / "images").exists() or (folder / "prepared").exists() else ()
    return volumes + [
        record.image_id
        for record in found
        if record.status == "ok" and not record.image_id.startswith(others or ("?",))
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_file_costs_nothing_but_itself(case, place):
    case.make(place)
    made, before = content(place.folder) if "pipe" not in case.name else {}, content(place.outside)
    status, said, grown, seconds, doings = in_a_child(case.command, place.folder)
    shown = said if len(said) < 4000 else f"{said[:2000]}\n[...]\n{said[-2000:]}"
    told = f"{' '.join(case.command)}\nstatus {status}, {grown / 1e6:.0f} MB, {seconds:.1f} s\n{doings}{shown}"
    faults = []
    if place.canary.exists():
        faults.append("its code ran")
    if {path: kept for path, kept in content(place.outside).items() if path != str(place.canary)} != before:
        faults.append("what is outside was changed")
    if doings:
        faults.append("it reached outside")
    if SECRET in said or any(
        SECRET.encode() in found[0]
        for path, found in content(place.folder).items()
        if path not in made and "/table/" in path
    ):
        faults.append("the secret was told")
    if case.foreign and (results := results_of_bad(place.folder)):
        faults.append(f"results of what is outside: {results}")
    if status not in (0, 1, 2) or (case.name.endswith("_control") and status):
        faults.append(f"status {status}")
    if "Traceback" in said:
        faults.append("a traceback")
    if status in (1, 2) and not re.search(r"^(alps|failed): \S", said, re.MULTILINE):
        faults.append("no line says why")
    if len(said) > LONGEST or "\x1b" in said:
        faults.append(f"{len(said)} characters, {said.count(chr(27))} escapes")
    if "will likely succeed" in said:
        faults.append("it is told how to run the file's code")
    if grown > MEMORY:
        faults.append(f"{grown / 1e9:.1f} GB")
    if seconds > SECONDS:
        faults.append(f"{seconds:.0f} s")
    if log := os.environ.get("HOSTILE_LOG"):
        with open(log, "a") as file:
            file.write(f"##### {case.name}: {'; '.join(faults) or 'passes'}\n{told}\n")
    assert not faults, f"{'; '.join(faults)}\n{told}"
