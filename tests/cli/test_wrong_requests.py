"""Requests that are wrong in a random way: each gets a few plain lines and status 2, soon, and nothing is begun.

They are real requests of every verb with one fault: the keys, types and choices are those of the composed root configs
and of the signatures behind them. What may be right is never made: a rule gives None where it cannot be sure.
"""

import functools
import inspect
import multiprocessing
import os
import pkgutil
import random
import shlex
import shutil
import string
import subprocess
import sys
import time
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from alps_exp.cli.verbs import VERBS, verb_function
from alps_exp.config.folder import config_folder

SEED, EACH, SAMPLED = 1, 60, 2
SECONDS, LINES, SHARE = 10, 4, 0.98
JOB = ("provenance.json", "DONE", "images", "volumes", "records.jsonl", "*.ckpt", "*.safetensors", "*.h5", "*.csv")
WARM = ["alps_exp.cli.main", *[f"alps_exp.cli.{verb}" for verb in VERBS]]
SPAWN = multiprocessing.get_context("forkserver")  # each request in a fresh copy of a process that has the packages

QUIET = ["logger=none", "trainer.accelerator=cpu"]
PRIOR = ["energy=gaussian", "teacher=gaussian", "num_samples=2", "figures=false", "sampler.schedule.steps=2"]
TRAINING = ["data=folder", "data.validation=null", "data.batch_size=1", "trainer.max_steps=1"]
NETWORK = "training.network.model"
TINY = ["img_resolution=16", "model_channels=8", "channel_mult=[1]", "num_blocks=1", "attn_resolutions=[]"]
SMALL = {
    "export": ["run=THINGS/run", "format=[npz,png]"],
    "restore": [*QUIET, *PRIOR, "data=prior", "data.test.count=1"],
    "calibrate": [*QUIET, *PRIOR, "count=2"],
    "train": [*QUIET, *TRAINING, "data.test.size=16", *[f"{NETWORK}.{word}" for word in TINY]],
    "distill": [*QUIET, *TRAINING, "data.test.size=16", "teacher=file", "teacher.name=THINGS/teacher.safetensors"],
    "prepare": ["reader=arrays", "reader.axes=[coil,row,column]", "source=THINGS/kspace.npy", "output=prepared"],
    "table": ["runs=THINGS/runs", "output=table", "figures=false"],
    "bench": ["parts=[loading]", "repeats=1", "output=bench"],
    "checkpoint": ["path=THINGS/teacher.safetensors"],
}
"""A small request of each verb that is right, for which see `test_the_requests_are_right_without_their_faults`."""

CHOICES = {
    "operator": ["inpaint_random", "inpaint_box", "inpaint_both", "gaussian_blur", "super_resolution", "denoise"],
    "sampler": ["alps", "alps_teacher", "daps", "dps", "smc", "diffpir"],
    "maps": ["espirit", "low_resolution"],
}
POSITIVE = "noise_std sigma_max sigma_min steps size num_samples count batch_size micro_batch learning_rate std length"
POSITIVE += " sigma_data model_channels img_resolution num_blocks patch_size calibration_width kernel_width num_nodes"
POSITIVE += " max_iterations scales accumulate_grad_batches"
OUT_OF_RANGE = {name: ["0", "-1"] for name in POSITIVE.split()} | {
    "num_workers": ["-1"],
    "warmup_steps": ["-1"],
    "checkpoint_minutes": ["-1", "nan"],
    "fraction": ["1.5", "-0.5", "[0.8,0.2]"],
    "ema_decay": ["1.5", "-0.1", "1"],
    "dropout": ["1.5", "-1"],
    "interval": ["0", "1.5"],
    "factor": ["0", "3.5"],
    "accelerator": ["tpuu", "gpuu"],
    "strategy": ["dpp", "ddpp"],
    "devices": ["0", "none", "-3"],
    "max_time": ["soon", "1:2", "{hous:4}"],
    "max_steps": ["-5"],
    "std": ["-1"],  # 0 is one noise level
    "val_check_interval": ["-1"],
    "channel_mult": ["[]", "[0]"],
    "crop": ["[0,0,0,0]", "[1,2]"],
    "indices": ["[5,2]", "[1]"],
    "axes": ["[coil]", "[row,row,column]", "[]"],
    "noise": ["-1", "0", "nan", "louud"],
    "reference": ["nobody"],
}
"""Values that no key of such a name can have."""


class Setting(NamedTuple):
    """A key of a composed config, its value, the sorts of values that it takes, and whether others may stand by it."""

    key: str
    value: object
    sorts: frozenset[str]
    closed: bool
    required: bool


class Root(NamedTuple):
    """A composed config: the words of its request, and its settings by key."""

    verb: str
    words: tuple[str, ...]
    settings: dict[str, Setting]
    groups: dict[str, list[str]]


class Answer(NamedTuple):
    """What a request got."""

    status: int | None
    output: str
    seconds: float
    left: list[str]

    def faults(self):
        """Return what is wrong with the answer."""
        found = {
            "status": self.status != 2,
            "lines": not 0 < len(self.output.splitlines()) <= LINES,
            "traceback": "Traceback" in self.output,
            "time": self.status is None,
            "job": any(Path(path).match(name) for path in self.left for name in JOB),
        }
        return [name for name, holds in found.items() if holds]


def sort_of(hint):
    """Return the sorts of values that a type allows; {"?"} is part of them if it allows what is not known here."""
    kind = typing.get_origin(hint) or hint
    if kind in (typing.Union, types.UnionType):
        return frozenset().union(*map(sort_of, typing.get_args(hint)))
    plain = {int: "number", float: "number", bool: "bool", str: "text", types.NoneType: "null", typing.Literal: "word"}
    if kind in plain:
        return frozenset({plain[kind]})
    if not inspect.isclass(kind) or kind is object:
        return frozenset({"?"})
    for general, sort in ((Mapping, "mapping"), (Sequence, "list")):
        if issubclass(kind, general):
            return frozenset({sort})
    return frozenset({"mapping" if kind.__name__ == "DictConfig" else "object"})


def walk(values, function, path=""):
    """Yield the settings of a config that are arguments of `function`, and those of the targets in them."""
    parameters = inspect.signature(function).parameters if function else {}
    hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function) if function else {}
    closed = bool(parameters) and not any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    for key, value in values.items():
        sorts = sort_of(hints[key]) if key in hints else frozenset("?")
        required = key in parameters and parameters[key].default is inspect.Parameter.empty
        yield Setting(f"{path}{key}", value, sorts, closed, required)
        if isinstance(value, dict):
            target = value.get("_target_")
            yield from walk(value, pkgutil.resolve_name(target) if target else None, f"{path}{key}.")


@functools.cache
def root_of(verb, words):
    """Return the composed config of a request that is right."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = OmegaConf.to_container(compose(verb, list(words)), resolve=False)
    defaults = OmegaConf.load(config_folder() / f"{verb}.yaml").defaults
    names = [str(name) for entry in defaults if OmegaConf.is_dict(entry) for name in entry if "hydra" not in str(name)]
    folders = {name: config_folder() / name.partition("@")[0] for name in names if "override" not in name}
    groups = {name: sorted(path.stem for path in folder.glob("*.yaml")) for name, folder in folders.items()}
    settings = {one.key: one for one in walk(config, verb_function(verb)) if one.key != "experiment"}
    return Root(verb, words, settings, groups)


def typo(rng, word):
    """Return a word with a letter dropped, doubled, exchanged or capital, or another word."""
    place = rng.randrange(len(word))
    return rng.choice(
        [
            word[:place] + word[place + 1 :],
            word[: place + 1] + word[place:],
            word[:place] + rng.choice(string.ascii_lowercase) + word[place + 1 :],
            word.upper(),
            word.replace("_", "-") + "s",
            "".join(rng.choices(string.ascii_lowercase, k=6)),
        ]
    )


def plainly(value):
    """Return a value of a config as a word of the command line, if it is a plain one, and 1 otherwise."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, int | float) else "1"


def with_word(root, word, key=None):
    """Return the request with one more word, which replaces what it said of this key and of those below."""
    key = key or word.lstrip("+~").partition("=")[0]
    kept = [one for one in root.words if not f"{one.partition('=')[0]}.".startswith(f"{key}.")]
    return [root.verb, *kept, word]


def wrong_key(rng, root):
    one = rng.choice(list(root.settings.values()))
    prefix, dot, name = one.key.rpartition(".")
    siblings = {key.rpartition(".")[2] for key in root.settings if key.rpartition(".")[0] == prefix}
    form = rng.choice(["", "", "", "+", "++", "~", "deeper", "elsewhere", "twice", "lost", "group"])
    if form == "deeper":
        plain = not isinstance(one.value, dict | list) and one.value is not None and "${" not in str(one.value)
        return with_word(root, f"{one.key}.{typo(rng, name)}={plainly(one.value)}") if plain else None
    if form == "elsewhere":
        other = rng.choice(list(root.settings.values())).key.rpartition(".")[2]
        unknown = other not in siblings and not other.startswith("_")
        return with_word(root, f"{prefix}{dot}{other}={plainly(one.value)}") if unknown and one.closed else None
    if form == "twice":
        return with_word(root, f"+{one.key}={plainly(one.value)}") if one.value is not None else None
    if form == "lost":
        return with_word(root, f"~{one.key}") if one.required else None
    if form == "group":
        group = rng.choice(list(root.groups) or [None])
        wrong = group and typo(rng, group)
        unknown = wrong and wrong not in root.groups and wrong not in root.settings and "@" not in wrong
        return with_word(root, f"{wrong}={rng.choice(root.groups[group])}") if unknown else None
    wrong = typo(rng, name)
    if not wrong or wrong in siblings or (prefix and not one.closed) or name.startswith("_") or not one.closed:
        return None
    return with_word(root, f"{form}{prefix}{dot}{wrong}" + ("" if form == "~" else f"={plainly(one.value)}"))


def unread(root, key):
    """Return whether a request of this root may do without the value of a key."""
    kind = root.settings["sampler.prior_kind"].value if "sampler.prior_kind" in root.settings else "energy"
    training = root.verb in ("train", "distill")
    parts = ["data.test.", "data.validation."] if training else ["data.train.", "data.validation.", "generator."]
    parts += [] if training else ["energy." if kind == "teacher" else "teacher."]
    parts += ["data."] if root.verb == "calibrate" else []
    return key.startswith(tuple(parts))


def wrong_value(rng, root):
    one = rng.choice(list(root.settings.values()))
    name = one.key.rpartition(".")[2]
    form = rng.choice(["choice", "word", "range", "range", "range", "missing", "target"])
    if form == "choice" and root.groups:
        group = rng.choice(list(root.groups))
        wrong = typo(rng, rng.choice(root.groups[group]))
        known = not wrong or wrong in root.groups[group] or (config_folder() / group / wrong).exists()
        return None if known else with_word(root, f"{group}={wrong}")
    if form == "missing" and "?" not in one.sorts:
        wrong = rng.choice(["???", "${no.such.key}", "${oc.env:NO_SUCH_VARIABLE}", "${no_such_resolver:1}"])
        return with_word(root, f"{one.key}={wrong}")
    if form == "target":
        one = rng.choice([one for one in root.settings.values() if one.key.endswith("._target_")] or [None])
        wrong = one and rng.choice([typo(rng, one.value), one.value.rpartition(".")[0], "math.pi", "nowhere.Thing"])
        return with_word(root, f"{one.key}={wrong}") if wrong and wrong != one.value else None
    if form == "word":
        one = rng.choice([one for one in root.settings.values() if "word" in one.sorts] or [None])
        textual = one and isinstance(one.value, str) and not one.sorts & {"?", "text"}
        return with_word(root, f"{one.key}={typo(rng, one.value)}x") if textual else None
    known = [one for key, one in root.settings.items() if key.rpartition(".")[2] in OUT_OF_RANGE]
    one = rng.choice([one for one in known if not unread(root, one.key)] or [None])
    if form != "range" or one is None:
        return None
    name = one.key.rpartition(".")[2]
    return with_word(root, f"{one.key}={rng.choice(OUT_OF_RANGE[name])}")


def wrong_type(rng, root):
    one = rng.choice(list(root.settings.values()))
    if one.key.rpartition(".")[2].startswith("_") or "?" in one.sorts:
        return None
    values = {
        "number": rng.choice(["7.5", "-3.25"]),
        "bool": "true",
        "text": rng.choice(["many", "0.1.2", "1e-3x", "12px"]),
        "null": "null",
        "list": rng.choice(["[1,2]", "[a]", "[[]]"]),
        "mapping": rng.choice(["{a:1}", "{low:0.1,high:0.2}"]),
    }
    right = one.sorts | ({"mapping"} if "object" in one.sorts else set())
    right |= {"text", "number", "bool"} if "word" in one.sorts else set()
    wrong = sorted(set(values) - right)
    return with_word(root, f"{one.key}={values[rng.choice(wrong)]}") if wrong else None


ODD = ["no=such", "no(such", "no#such", "no such", "沒有這個", "no)such", "no'such", "no{such", "no,such", "$no", "~no"]
FILES = {  # keys of files, with the words that they need
    "restore": [
        (["data=subject"], "data.test.path"),
        (["operator=inpaint_file"], "operator.mask.path"),
        (["energy=file", "sampler=alps"], "energy.name"),
        (["teacher=file", "sampler=dps"], "teacher.name"),
        ([], "lpips"),
    ],
    "calibrate": [(["energy=file", "sampler=alps"], "energy.name"), (["operator=inpaint_file"], "operator.mask.path")],
    "train": [([], "training.start.name")],
    "distill": [(["teacher=file"], "teacher.name")],
    "prepare": [([], "source")],
    "table": [([], "paper")],
    "bench": [([], "baseline")],
    "export": [([], "run")],
    "checkpoint": [([], "path"), (["action=convert"], "path")],
}
FOLDERS = {
    "restore": [(["data=folder"], "data.test.path"), (["data=fastmri", "operator=measured"], "data.test.path")],
    "calibrate": [(["data=ffhq", "images=data"], "data.test.path")],
    "train": [(["data=folder"], "data.train.path")],
    "distill": [(["data=folder"], "data.train.path")],
    "prepare": [([], "source")],
    "table": [([], "runs")],
    "bench": [([], "baseline")],
    "export": [([], "run")],
    "checkpoint": [([], "path")],
}
OUTPUTS = {"prepare": "output", "table": "output", "bench": "output"} | dict.fromkeys(
    ("restore", "calibrate", "train", "distill"), "output_root"
)


def wrong_path(rng, root):
    form = rng.choice(["file", "file", "folder", "folder", "output", "from"])
    if form == "output" and (key := OUTPUTS.get(root.verb)):
        return with_word(root, f"{key}={rng.choice(['THINGS/text.txt', 'THINGS/text.txt/below', ''])}")
    if form == "from" and root.verb in ("restore", "calibrate", "train", "distill"):
        return [root.verb, "--from", rng.choice(["", "nowhere", "THINGS/empty", "THINGS/text.txt", *ODD])]
    if form not in ("file", "folder"):
        return None
    words, key = rng.choice((FILES if form == "file" else FOLDERS)[root.verb])
    suffix = rng.choice([".png", ".npy", ".pth", ".pkl", ".zip", ".safetensors", ".h5", ".ckpt", ".csv", ".nrrd"])
    wrong = ["", "nowhere", "/nowhere/at/all", "THINGS/text.txt", "THINGS/empty", f"THINGS/broken{suffix}"]
    wrong += [f"{rng.choice(ODD)}{suffix}" for _ in range(4)]
    words = [*words, "training.start={_target_:alps_exp.priors.load_teacher,name:x}"] if "start" in key else words
    request = root
    for word in words:
        request = request._replace(words=tuple(with_word(request, word)[1:]))
    return with_word(request, f"{key}={rng.choice(wrong)}", key)


def wrong_sweep(rng, root):
    able = [one for one in root.settings.values() if not isinstance(one.value, dict | list) and "?" not in one.sorts]
    one = rng.choice(able)
    value, key = plainly(one.value), one.key
    broken = [f"choice({value}", "choice(", "choice()", "range(", "range(1", "range(a,b)", "range()", "range(3,0)"]
    broken += ["range(0)", "range(1,5,0)", "range(1,5,-1)", "glob(zzz*)", "glob(", "glob()", "interval(0,1)", "1,,2"]
    broken += ["1,", ",1", "shuffle(range(0))", "shuffle(", "sort(", "chioce(1,2)", "choice(1,2))", "tag(a)", "1,2,"]
    broken += ["range(1,3", "choice(1,[2)", "choice[1,2]", "rang(3)", "choice(1;2)"]
    form = rng.choice(["with", "with", "with", "without", "without", "last", "key", "launcher"])
    if form == "without":
        unfinished = [*broken, "1,2", "choice(1,2)", "range(3)", f"{value},{value}", "glob(*)"]
        return with_word(root, f"{key}={rng.choice(unfinished)}")
    if form == "with":
        return [*with_word(root, f"{key}={rng.choice(broken)}"), rng.choice(["-m", "--multirun"])]
    if form == "last":
        return [*with_word(root, f"{key}={value},{{a:1}},[b]"), "-m"] if not one.sorts & {"mapping", "list"} else None
    if form == "key" and one.closed:
        return [*with_word(root, f"{rng.choice(['', '+', '++'])}{key}zz=1,2"), "-m"]
    if form == "launcher":
        wrong = rng.choice([["hydra/launcher=jobli", "-m"], ["hydra/launcher=joblib"], ["hydra/sweeper=optun", "-m"]])
        return [root.verb, *root.words, *wrong]
    return None


def wrong_quoting(rng, root):
    one = rng.choice(list(root.settings.values()))
    key, value = one.key, plainly(one.value)
    values = [f"'{value}", f'"{value}', f"{value}'", f"[{value}", f"{value}]", f"{{a:{value}", f"{value}}}", "[1,2"]
    values += [f"({value}", f"{value})", f"[{value}}}", "{a b}", "{a:1,b}", "{:1}", "[1,,2]", "${", "${seed", "$(ls)"]
    values += [f"={value}", f"{value}=", "a&b", "a;b", "a!b", "a^b", "a`b", "a<b", "a>b", "'a'b", 'a"b"', "[a:1]"]
    words = [f"{key}={rng.choice(values)}", f"{key}={rng.choice(values)}", f"{key}={rng.choice(values)}"]
    words += [key, f"{key} {value}", f"={value}", f"{key}:{value}", f"--{key}={value}", f"-{key}={value}", f"--{key}"]
    words += [f"{key}!={value}", f"{key}+={value}", f"[{key}]={value}", f"'{key}'={value}", f"{key}.={value}", "=", ","]
    words += [f"{key}..x={value}", f".{key}={value}", "", " ", f"@{key}={value}", f"+~{key}={value}", f"{key}@={value}"]
    flags = [["--config-name"], ["-cn"], ["-c"], ["--cfg"], ["--cfg", "jobb"], ["--multirun=3"], ["-m=3"], ["--run=3"]]
    flags += [["--config-dir"], ["--config-dir", "nowhere"], ["--config-path"], ["--config-path", "nowhere"]]
    flags += [["--config-name", "nothing"], ["--info", "nonsense"], ["--package"], ["--resolve"], ["-x"], ["--verbose"]]
    flags += [["--experimental-rerun"], ["--experimental-rerun", "nowhere"], ["--from"], ["--from="], ["--trust"]]
    flags += [["--trust", "mylab"], ["--seed", "3"], ["--dry-run"], ["--force"], ["-v"], ["---"]]
    form = rng.choice(["word", "word", "word", "flag", "flag", "verb"])
    if form == "word":
        word = rng.choice(words)
        return with_word(root, word, key)
    if form == "flag":
        return [root.verb, *root.words, *rng.choice(flags)]
    wrong = rng.choice([typo(rng, root.verb), "-m", "--multirun", root.verb.title(), "", "help", f"--{root.verb}", "="])
    return [wrong, *root.words] if wrong not in VERBS else None


KINDS = {
    "key": wrong_key,
    "value": wrong_value,
    "type": wrong_type,
    "path": wrong_path,
    "sweep": wrong_sweep,
    "quoting": wrong_quoting,
}


def bases(rng, verb):
    """Return a composed request that is right but for data that are not there: the bare verb, or the small request."""
    words = list(SMALL[verb]) if rng.random() < 0.6 else []
    if verb in ("restore", "calibrate") and rng.random() < 0.5:
        group = rng.choice(["operator", "sampler"])
        words = [f"{group}={rng.choice(CHOICES[group])}", *words]
        words = [word for word in words if not word.startswith("sampler.schedule")]
    return root_of(verb, tuple(words))


def requests(kind):
    """Return the requests of a kind, of all verbs in turn, each another one."""
    rng, found = random.Random(f"{SEED} {kind}"), []
    while len(found) < EACH:
        verb = list(VERBS)[len(found) % len(VERBS)]
        request = next(filter(None, (KINDS[kind](rng, bases(rng, verb)) for _ in iter(int, 1))))
        if request not in found:
            found.append(request)
    return found


@pytest.fixture(scope="module")
def things(tmp_path_factory, network):
    """Return a folder of what the small requests need, and of what is no file of any format."""
    from alps_exp.checkpoints import save_model

    folder = tmp_path_factory.mktemp("things")
    save_model(folder / "teacher.safetensors", network(3), "teacher")
    (folder / "data" / "train").mkdir(parents=True)
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(folder / "data" / "train" / "a.png")
    rng = np.random.default_rng(0)
    np.save(folder / "kspace.npy", (rng.normal(size=(2, 24, 24)) + 1j * rng.normal(size=(2, 24, 24))).astype("c8"))
    (folder / "empty").mkdir()
    (folder / "text.txt").write_text("nothing of use\n")
    for suffix in ("png", "npy", "pth", "pkl", "zip", "safetensors", "h5", "ckpt", "csv", "nrrd"):
        (folder / f"broken.{suffix}").write_bytes(b"\x89\x93 broken \xff\n" * 9)
    return folder


def environment(things):
    return {"ALPS_DATA": str(things / "data"), "WANDB_MODE": "offline", "COLUMNS": "80", "OMP_NUM_THREADS": "1"}


def placed(request, things):
    return [word.replace("THINGS", str(things)) for word in request]


def in_child(request, folder, variables):
    """Run the command line in this process, which ends with its status; what it prints is left beside the folder."""
    from alps_exp.__main__ import main

    os.environ.update(variables)
    os.chdir(folder)
    with open(folder.with_suffix(".out"), "wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = ["alps", *request]
    main()


@pytest.fixture
def answer(tmp_path, things):
    """Return what runs a request in a process of its own and in an empty folder."""
    SPAWN.set_forkserver_preload(WARM)
    numbers = iter(range(10**6))

    def run(request, seconds=SECONDS):
        folder = tmp_path / f"request{next(numbers)}"
        folder.mkdir()
        process = SPAWN.Process(target=in_child, args=(placed(request, things), folder, environment(things)))
        began = time.monotonic()
        process.start()
        process.join(seconds)
        status, took = process.exitcode, time.monotonic() - began
        if status is None:
            process.kill()
            process.join()
        left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        output = folder.with_suffix(".out")
        return Answer(status, output.read_text(errors="replace") if output.exists() else "", took, left)

    return run


@pytest.fixture(scope="module")
def finished(things, tmp_path_factory):
    """Have a run that `alps table` finds and `alps export` writes."""
    request = [sys.executable, "-m", "alps_exp", "restore", *SMALL["restore"], f"output_root={things / 'runs'}"]
    subprocess.run(request, cwd=tmp_path_factory.mktemp("once"), env=os.environ | environment(things), check=True)
    (run,) = (path.parent for path in (things / "runs").rglob("DONE"))
    shutil.copytree(run, things / "run")


def told(request, got, faults):
    lines = got.output.splitlines()
    kept = "\n    ".join(lines if len(lines) <= 12 else [*lines[:3], "...", *lines[-8:]])
    begun = f", left {got.left}" if "job" in faults else ""
    return f"{shlex.join(['alps', *request])}\n  {', '.join(faults)}: status {got.status}{begun}\n    {kept}"


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_the_requests_are_right_without_their_faults(answer, finished, verb):
    got = answer([verb, *SMALL[verb]], 120)
    assert got.status == 0, got.output


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_request_gets_a_few_lines_and_status_two(answer, finished, kind):
    wrong = []
    for request in requests(kind):
        got = answer(request)
        if faults := got.faults():
            wrong.append((request, got, faults))
    report = "\n".join(told(*one) for one in wrong)
    assert not [faults for *_, faults in wrong if {"job", "time"} & set(faults)], report
    assert len(wrong) <= EACH * (1 - SHARE), report


@pytest.mark.slow
def test_the_shell_gets_the_same_answers(answer, finished, things, tmp_path):
    rng = random.Random(SEED)
    folder = tmp_path / "shell"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for request in (request for kind in KINDS for request in rng.sample(requests(kind), SAMPLED)):
        folder.mkdir()
        line = shlex.join(["alps", *placed(request, things)])
        shell = subprocess.run(
            line,
            shell=True,
            cwd=folder,
            env=os.environ | environment(things) | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
        got = answer(request)
        assert (shell.returncode, shell.stdout.decode()) == (got.status, got.output), line
        folder.rename(tmp_path / f"shell{len(list(tmp_path.iterdir()))}")
