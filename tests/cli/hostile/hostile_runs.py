"""Hostile run folders: a config that would run code, and a provenance, a DONE or a calibration of odd content.

An edit gets the folder of a copied run and the place of the case.
"""

import json
import os
import shutil

from hostile_place import DEEP
from omegaconf import OmegaConf


def the_run(root):
    (done,) = root.rglob("DONE")
    return done.parent


def run_folder(edit, root="run"):
    """Return what copies a whole run, as `run` or where the request would find it, and edits its folder."""

    def make(place):
        source = the_run(place.base / "outputs")
        target = place.folder / ("run" if root == "run" else source.relative_to(place.base))
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".lock"))
        edit(target, place)

    return make


def config(text=None, **values):
    """Edit the config: more text, or other values by dotted key."""

    def edit(run, place):
        path = run / "config.yaml"
        if text is not None:
            path.write_text(path.read_text() + (text(place) if callable(text) else text))
        else:
            found = OmegaConf.load(path)
            for key, value in values.items():
                value = value(place) if callable(value) else value
                OmegaConf.update(found, key.replace("__", "."), value, merge=False, force_add=True)
            OmegaConf.save(found, path)

    return edit


def laughing_yaml(levels=12, width=10):
    first = "a0: &a0 [" + ", ".join(["ha"] * width) + "]\n"
    return first + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]\n" for i in range(1, levels))


def replace(title, content):
    """Replace a file by text, or by what a function leaves at its path."""

    def edit(run, place):
        path = run / title
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        content(path, place) if callable(content) else path.write_text(content)

    return edit


def link_to(where):
    return lambda path, place: path.symlink_to(place.outside / where if "/" not in where[:1] else where)


def start(**values):
    def edit(run, place):
        found = json.loads((run / "provenance.json").read_text())
        found["runs"][-1] |= values
        (run / "provenance.json").write_text(json.dumps(found))

    return edit


def not_done(edit):
    """Have the run go on, and not be done already."""
    return lambda run, place: ((run / "DONE").unlink(), edit(run, place))


def done(*names, size=1):
    """Have DONE vouch for further names."""

    def edit(run, place):
        found = json.loads((run / "DONE").read_text())
        entry = {"size": size, "mtime_ns": 0, "sha256": "0"}
        found["files"] |= {title(place) if callable(title) else title: entry for title in names}
        (run / "DONE").write_text(json.dumps(found))

    return edit


def linked_images(run, place):
    """Have the images of the run be a folder outside, and DONE vouch for what is in it."""
    shutil.rmtree(run / "images")
    (run / "images").symlink_to(place.outside / "images")
    done("images/result.h5")(run, place)


def climbing(place):
    return f"images/../../../../../../{os.path.relpath(place.outside, place.folder.parent)}/secret.txt"


CONFIGS = {
    "os_system": config(energy=lambda place: {"_target_": "os.system", "command": f"touch {place.canary}"}),
    "eval": config(
        sampler__schedule=lambda place: [{"_target_": "builtins.eval", "_args_": [f"open({str(place.canary)!r}, 'w')"]}]
    ),
    "target_is_a_list": config(energy={"_target_": ["os.system"]}),
    "target_of_ours_that_writes": config(
        energy=lambda place: {"_target_": "alps_exp.files.write_atomically", "path": str(place.canary)}
    ),
    "target_behind_a_class": config(energy={"_target_": "alps_exp.priors.load_energy.__globals__"}),
    "environment": config(labels__task="${oc.env:HOME}"),
    "laughs": config(text=laughing_yaml()),
    "python_object": config(text=lambda place: f"a: !!python/object/apply:os.system ['touch {place.canary}']\n"),
    "nested_lists": config(text="a: " + DEEP + "\n"),
    "nested_little": config(text="a: " + "[" * 300 + "]" * 300 + "\n"),
    "sets_and_times": config(text="a: !!set {x}\nb: 2001-01-01\n"),
    "many_digits": config(text="a: " + "9" * 100_000 + "\n"),
    "long_value": config(text="a: " + "x" * 10_000_000 + "\n"),
    "no_text": replace("config.yaml", lambda path, place: path.write_bytes(b"\xff\xfe\0a")),
    "a_list": replace("config.yaml", "[1, 2]\n"),
    "a_pipe": replace("config.yaml", lambda path, place: os.mkfifo(path)),
    "name_climbs": config(name="../../../outside/run"),
    "folder_of_lightning": config(
        trainer__default_root_dir=lambda place: str(place.outside / "lightning"), trainer__logger=True
    ),
    "profiler": config(trainer__profiler="advanced"),
    "billion_images": config(data__test__count=10**9),
    "trillion_steps": config(sampler__schedule__steps=10**12),
    "huge_prior": config(energy__size=10**5),
    "weights_outside": config(
        energy=lambda place: {"_target_": "alps_exp.priors.load_energy", "name": str(place.outside / "secret.txt")}
    ),
}

STARTS = {
    "nested": replace("provenance.json", '{"runs": ' + DEEP + "}"),
    "a_number": replace("provenance.json", "7"),
    "runs_is_empty": replace("provenance.json", '{"runs": []}'),
    "version_is_a_number": start(code={"version": 7}),
    "version_of_many_digits": start(code={"version": "9" * 10_000}),
    "command_is_empty": start(command=[]),
    "seeds_are_10^400": start(seeds={"seed": 10**400}),
    "many_images": start(num_images=10**18),
    "a_pipe": replace("provenance.json", lambda path, place: os.mkfifo(path)),
}

DONES = {
    "name_climbs": done("../../../../../outside/secret.txt", "../../../../../outside/images/result.h5"),
    "name_climbs_from_images": done(climbing),
    "name_is_absolute": done(lambda place: str(place.outside / "images" / "result.h5"), "/etc/passwd"),
    "name_with_a_zero": done("images/a\0b"),
    "name_is_a_folder": done("images/."),
    "name_is_long": done("images/" + "a" * 100_000),
    "size_is_text": done("images/x.h5", size="x"),
    "nested": replace("DONE", DEEP),
    "a_folder": replace("DONE", lambda path, place: path.mkdir()),
    "a_pipe": replace("DONE", lambda path, place: os.mkfifo(path)),
    "many_names": lambda run, place: (run / "DONE").write_text(
        json.dumps({"files": {f"images/{i}": {"size": 1, "mtime_ns": 0, "sha256": ""} for i in range(100_000)}})
    ),
    "linked_images": linked_images,
    "linked_lock": not_done(replace(".lock", link_to("secret.txt"))),
    "linked_log": replace("restore.log", link_to("secret.txt")),
    "linked_records": replace("records.jsonl", link_to("secret.txt")),
    "lock_is_a_pipe": not_done(replace(".lock", lambda path, place: os.mkfifo(path))),
}

CALIBRATIONS = {
    "nested": DEEP,
    "a_number": "7",
    "odd_types": '{"images": "x", "failed": [], "coverage": 7, "ranks": "a"}',
}


def calibration(text):
    return run_folder(lambda run, place: (run / "calibration.json").write_text(text))
