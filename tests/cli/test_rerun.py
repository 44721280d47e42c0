"""A run that is run again from its folder: the same records, and what differs is told."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file

from alps_exp.runs import RunFolder

GAUSSIAN = ["data=prior", "energy=gaussian", "teacher=gaussian", "data.test.count=2"]
SHORT = ["sampler.schedule.steps=3", "num_samples=2", "logger=none", "figures=false"]


@pytest.fixture
def run(alps, monkeypatch, tmp_path):
    """Return what runs the command in a folder of its own and checks its exit status."""
    monkeypatch.chdir(tmp_path)

    def checked(*arguments, status=0):
        given, out, err = alps(*arguments)
        assert given == status, out + err
        return out if status == 0 else err

    return checked


def the_run(root):
    (start,) = root.rglob("provenance.json")
    return start.parent


def timeless(folder):
    records, measured = re.subn(r'"(seconds|peak_memory_mib)": [^,}]+', "", (folder / "records.jsonl").read_text())
    assert measured == 2 * records.count("\n")
    return records.splitlines()


def told(out):
    """Return the differences, without that of the code, which may be edited at any time."""
    lines = [line.partition(": ")[2] for line in out.splitlines() if line.startswith("differs from ")]
    return [line for line in lines if not line.startswith("code ") and line != "nothing"]


def test_records_are_the_same_in_a_folder_of_its_own(run, tmp_path):
    run("restore", *GAUSSIAN, *SHORT, "seed=5", "energy.std=0.3", "output_root=first", "data.batch_size=1")
    first = the_run(tmp_path / "first")
    assert told(run("restore", "--from", str(first))) == []
    again = the_run(tmp_path / "outputs" / "again")
    assert again.relative_to(tmp_path / "outputs" / "again") == first.relative_to(tmp_path / "first")
    assert len(timeless(first)) == 6 and timeless(again) == timeless(first)
    configs = [(folder / "config.yaml").read_text() for folder in (first, again)]
    assert configs[1] == configs[0].replace("output_root: first", "output_root: outputs/again")
    (start,) = RunFolder(again).starts()
    assert start.original == str(first) and start.command[3:] == ["--from", str(first)]

    run("restore", f"--from={again}", "output_root=third", "logger=csv")
    third = the_run(tmp_path / "third")
    assert timeless(third) == timeless(first) and list(third.rglob("metrics.csv"))


def test_values_of_the_folder_win_over_defaults_and_those_of_the_line_are_told(run, tmp_path):
    run("restore", *GAUSSIAN, *SHORT, "output_root=first")
    first = the_run(tmp_path / "first")
    config = OmegaConf.load(first / "config.yaml")
    config.operator.mask.fraction = 0.6  # as if that had been the default
    OmegaConf.save(config, first / "config.yaml")
    out = run("restore", "--from", str(first), "seed=3", "data.batch_size=1", "++sampler.micro_batch=2")
    assert told(out) == ["seed 0 before, 3 now (what was derived from it stays)"]
    again = the_run(tmp_path / "outputs" / "again")
    assert RunFolder(again).load_config()["operator"]["mask"]["fraction"] == 0.6
    assert told(out)[0] in RunFolder(again).starts()[0].differences


def test_other_data_other_weights_and_other_packages_are_told(run, models, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(images / "a.png")
    folder = ["data=folder", f"data.test.path={images}", "data.test.size=16"]
    run("restore", *folder, *models, *SHORT, "output_root=first")
    first = the_run(tmp_path / "first")
    provenance = json.loads((first / "provenance.json").read_text())
    provenance["runs"][-1]["packages"]["torch"] = "0.1"
    (first / "provenance.json").write_text(json.dumps(provenance))
    Image.fromarray(pixels).save(images / "b.png")
    weights = tmp_path / "small-energy.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    phrases = told(run("restore", "--from", str(first)))
    assert [phrase.partition(" before, ")[0].rpartition(" ")[0] for phrase in phrases] == [
        "energy checkpoint",
        "data",
        "torch",
    ]
    assert phrases[-1].startswith("torch 0.1 before, ")


def test_a_teacher_gets_the_weights_that_one_with_a_break_got(run, breaking, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{i}.png")
    folder = [f"data.{part}.path={images}" for part in ("train", "test")]
    data = ["data=folder", *folder, "data.train.size=8", "data.validation=null", "data.batch_size=2"]
    sizes = ["img_resolution=8", "model_channels=8", "channel_mult=[1]", "num_blocks=1", "attn_resolutions=[]"]
    network = [f"training.network.model.{size}" for size in (*sizes, "dropout=0.5")]
    request = [*data, *network, "trainer.max_steps=2", "trainer.accelerator=cpu", "logger=none"]
    with breaking() as often:
        run("train", *request, *often, status=1)
    run("train", *request)
    first = the_run(tmp_path / "outputs" / "train")
    assert told(run("train", "--from", str(first))) == []
    again = the_run(tmp_path / "outputs" / "again")
    weights = [load_file(path / "teacher.safetensors") for path in (first, again)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert f"alps train --from {first}" in (again / "teacher.md").read_text()


def test_a_sweep_can_start_from_a_folder(run, tmp_path):
    run("restore", *GAUSSIAN, *SHORT, "output_root=first")
    first = the_run(tmp_path / "first")
    out = run("restore", "-m", "--from", str(first), "seed=0,1")
    assert told(out) == ["seed 0 before, 1 now (what was derived from it stays)"]
    again = {RunFolder(path.parent).load_config()["seed"]: path.parent for path in tmp_path.glob("outputs/**/DONE")}
    assert sorted(again) == [0, 1] and timeless(again[0]) == timeless(first) != timeless(again[1])


def test_what_cannot_be_run_again_is_refused_in_one_line(run, tmp_path):
    run("restore", *GAUSSIAN, *SHORT, "output_root=first")
    first = the_run(tmp_path / "first")
    broken = {name: shutil.copytree(first, tmp_path / name) for name in ("no-start", "torn", "unknown", "verbless")}
    (broken["no-start"] / "provenance.json").unlink()
    (broken["torn"] / "config.yaml").write_text("seed: [")
    (broken["unknown"] / "config.yaml").write_text((first / "config.yaml").read_text() + "sede: 1\n")
    starts = (first / "provenance.json").read_text()
    (broken["verbless"] / "provenance.json").write_text(starts.replace('"restore"', '"restored"'))
    for arguments, message in [
        (["restore", "--from"], "--from.*folder"),
        (["restore", "--from", "nowhere"], "nowhere.*config.yaml"),
        (["restore", "--from", "no-start"], "no-start.*provenance.json"),
        (["restore", "--from", "torn"], "torn"),
        (["restore", "--from", "unknown"], "'sede'.* seed"),
        (["restore", "--from", "verbless"], "verbless.*verb"),
        (["calibrate", "--from", str(first)], f"restore.*calibrate.*alps restore --from {first}"),
        (["restore", "--from", str(first), "output_root=first"], "its own folder.*output_root"),
        (["restore", "--from", str(first), "sampler=map"], "sampler=map.*--from"),
        (["restore", "--from", str(first), "sede=1"], "'sede'.* seed"),
    ]:
        lines = [line for line in run(*arguments, status=2).splitlines() if line.startswith("alps: ")]
        assert len(lines) == 1 and re.search(message, lines[0])
    assert len(RunFolder(first).starts()) == 1


def test_a_foreign_run_runs_nothing_reads_no_environment_and_stays_below_the_output_root(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    run("restore", *GAUSSIAN, *SHORT, "output_root=first")
    first = the_run(tmp_path / "first")
    harm = {"_target_": "torch.utils.collect_env.run", "command": f"touch {tmp_path / 'harm'}"}
    git = {"_target_": "alps_exp.runs.provenance._git", "_args_": [".", "-c", f"alias.x=!touch {tmp_path}/harm", "x"]}
    (tmp_path / "foreign_lab.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)

    def foreign(key, value):
        folder = tmp_path / "foreign"
        shutil.copytree(first, folder, dirs_exist_ok=True)
        config = OmegaConf.load(first / "config.yaml")
        OmegaConf.update(config, key, value, merge=False, force_add=True)
        OmegaConf.save(config, folder / "config.yaml")
        return str(folder)

    for key, value, message in [
        ("energy", harm, "names energy._target_=torch.utils.collect_env.run"),
        (
            "sampler.schedule",
            [[{"deep": harm}]],
            "names sampler.schedule.0.0.deep._target_=torch",
        ),
        ("operator", {**git, "_partial_": True}, "names operator._target_=alps_exp.runs.provenance._git"),
        ("trainer.callbacks", [harm], "names trainer.callbacks.0._target_=torch.utils.collect_env.run"),
        ("energy", {"_target_": "foreign_lab.Energy"}, "names energy._target_=foreign_lab.Energy"),
        ("lpips", "${oc.env:SECRET}", "config.yaml is not the config of a run"),
        ("name", "../../../out", "name is '../../../out'"),
    ]:
        err = run("restore", "--from", foreign(key, value), status=2)
        assert message in err and len([line for line in err.splitlines() if line.startswith("alps: ")]) == 1
        assert "hunter2" not in err
    for key, value in [
        ("hydra", {"run": {"dir": str(tmp_path / "out")}}),
        ("defaults", [{"/operator": "denoise"}]),
        ("logger", harm),
        ("output_root", str(tmp_path / "out")),
    ]:
        run("restore", "--from", foreign(key, value))
    assert {path.name for path in tmp_path.iterdir()} == {"first", "foreign", "foreign_lab.py", "outputs"}
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["again"]


def test_a_target_of_ones_own_is_run_again_when_its_package_is_named(run, tmp_path, monkeypatch):
    package = tmp_path / "lab" / "own_lab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    source = "from alps_exp.samplers import ALPS\n\n\nclass Own(ALPS):\n    pass\n"
    (package / "samplers.py").write_text(source)
    monkeypatch.syspath_prepend(package.parent)
    run("restore", *GAUSSIAN, *SHORT, "sampler._target_=own_lab.samplers.Own", "output_root=first")
    first = the_run(tmp_path / "first")
    assert "give --trust PACKAGE" in run("restore", "--from", str(first), status=2)
    assert told(run("restore", "--trust", "other,own_lab", "--from", str(first))) == []
    assert timeless(the_run(tmp_path / "outputs" / "again")) == timeless(first)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".log"}


def test_a_run_of_an_older_version_is_refused_in_one_line_that_names_it(run, tmp_path):
    request = ["restore", *GAUSSIAN, *SHORT, "output_root=out"]
    run(*request)
    folder = the_run(tmp_path / "out")
    provenance = json.loads((folder / "provenance.json").read_text())
    for version in ("0.1.0", "0.1.12", "not installed"):
        provenance["runs"][0]["code"] = {"version": version}
        (folder / "provenance.json").write_text(json.dumps(provenance))
        before = files_of(folder)
        for asked in (request, ["table", "runs=out"], ["restore", "--from", str(folder)]):
            err = run(*asked, status=2)
            (line,) = [line for line in err.splitlines() if line.startswith("alps: ")]
            assert re.search(f"{folder.name}.* {version}\\b", line) and "Traceback" not in err
        assert files_of(folder) == before
    provenance["runs"][0]["code"] = {"version": "0.10.1"}
    (folder / "provenance.json").write_text(json.dumps(provenance))
    run(*request)
