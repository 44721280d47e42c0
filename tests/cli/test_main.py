"""The command line: what it answers to right and to wrong requests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from alps_exp import __version__
from alps_exp.cli import table as table_command
from alps_exp.config.folder import config_folder


def test_help_lists_the_verbs(alps):
    for arguments in ((), ("--help",)):
        status, out, _ = alps(*arguments)
        assert status == 0
        assert all(verb in out for verb in ("train", "distill", "restore", "table"))


def test_module_and_verb_help_work_from_a_shell(tmp_path):
    shown = subprocess.run(
        [sys.executable, "-m", "alps_exp", "restore", "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "operator=inpaint_random" in shown.stdout and "gaussian_blur" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["restor"], "'restor'.* restore"),
        (["restore", "operator=inpaint_rand"], "operator=inpaint_rand\\b.* inpaint_random"),
        (["restore", "operator.noise_stdd=0.1"], "operator.noise_stdd.* operator.noise_std\\b"),
        (["restore", "+operator.noise_stdd=0.1"], "operator.noise_stdd.* operator.noise_std\\b"),
        (["restore", "+sede=1"], "'sede'.* seed"),
        (["restore", "operator.noise_std=abc"], "operator.noise_std.*'abc'.*number"),
        (["restore", "operator.noise_std=0"], "noise_std.*positive.* 0"),
        (["restore", "save=everything"], "save.*'everything'.*summary, samples"),
        (["restore", "sampler.noise=loud"], "noise.*'loud'.*calibrated, independent, reference, none"),
        (["restore", "data=brain"], "3 channels.*images of this data"),
        (["restore", "data=ffhq", "data.test.path=/nowhere"], "folder or zip archive.*/nowhere"),
        (["restore", "operator=inpaint_box", "operator.mask.size=65"], "65"),
        (["restore", "sampler=dps", "teacher.name=/nowhere"], "teacher '/nowhere'"),
        (
            ["restore", "operator._target_=alps_exp.datasets.In"],
            "operator._target_.*alps_exp.datasets.In",
        ),
        (["restore", "~operator.mask"], "operator.mask"),
        (["train", "weights=bfloat16"], "weights.*bfloat16.*float32, float16"),
        (["restore", "num_samples=0"], "num_samples.* 1.* 0"),
        (["restore", "seed="], "seed"),
        (["restore", "hydra/launcher=joblib"], "hydra/launcher=joblib.* -m"),
        (["table", "runs=/nowhere"], "/nowhere"),
        (["restore", "experiment=demo_fac"], "experiment=demo_fac\\b.* demo_face"),
        (["restore", "experiment=[demo_face,demo_fac]"], "experiment=demo_fac\\b.* demo_face"),
        (["restore", "experiment=demo_fac", "--cfg", "job"], " demo_face\\b"),
        (["restore", "+experiment=demo_fac"], " demo_face\\b"),
        (["restore", "logger=wndb"], "logger=wndb.* wandb"),
        (["calibrate", "experiment=demo_fac"], " demo_face\\b"),
        (["distill", "experiment=brain64_enrgy"], " brain64_energy\\b"),
        (["train", "experiment=brain64_teachr"], " brain64_teacher\\b"),
        (["restore", "--trust", "mylab"], "--trust mylab.*--from"),
    ],
)
def test_wrong_requests_get_one_line_and_status_two(alps, tmp_path, models, arguments, message):
    verb, *rest = arguments
    folder = [f"output_root={tmp_path}", "logger=none"] if verb != "table" else []
    status, _, err = alps(verb, *folder, *(models if verb == "restore" else []), *rest)
    lines = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert status == 2
    assert len(lines) == 1 and re.search(message, lines[0])
    assert "Traceback" not in err
    assert not any(list(Path(tmp_path).rglob(name)) for name in ("DONE", "images"))


def test_data_that_are_not_there_are_refused(alps, tmp_path, models):
    images = tmp_path / "images"
    request = ["restore", "data=folder", f"data.test.path={images}", f"output_root={tmp_path}", "logger=none", *models]
    status, _, err = alps(*request)
    assert status == 2 and re.search(f"^alps: .*{images}$", err, re.M)
    images.mkdir()
    status, _, err = alps(*request)
    assert status == 2 and re.search(f"PNG, JPEG or WebP.*{images}", err)
    Image.new("RGB", (16, 16)).save(images / "a.png")
    status, _, err = alps(*request, "data.test.crop=[0,0,32,32]")
    assert status == 2 and "a.png of 16 x 16" in err and "Traceback" not in err


@pytest.mark.parametrize("choice", [[], ["experiment=null"], ["~experiment"]])
def test_no_experiment_is_a_choice(alps, choice):
    status, out, _ = alps("restore", *choice, "--cfg", "job")
    assert status in (0, None) and OmegaConf.create(out).num_samples == 8


def test_no_choice_is_optional_to_hydra_which_then_takes_any_word_for_it():
    roots = [OmegaConf.load(path) for path in config_folder().glob("*.yaml")]
    groups = [
        group for root in roots for entry in root.get("defaults", []) if OmegaConf.is_dict(entry) for group in entry
    ]
    assert "experiment" in groups and not [group for group in groups if str(group).startswith("optional")]


def test_an_interpolation_that_fails_is_told_in_its_own_words(alps):
    status, _, err = alps("restore", "lpips=${oc.env:NOT_THERE}")
    assert status == 2 and "NOT_THERE" in err and "full_key" not in err and len(err.splitlines()) == 1


def test_the_version_is_ours(alps):
    assert alps("--version")[:2] == (0, f"{__version__}\n")


def test_an_error_of_ours_once_the_job_is_under_way_is_no_wrong_request(alps, monkeypatch, tmp_path):
    def table(job, /, **_):
        job.under_way = True
        raise ValueError("broken figure")

    monkeypatch.setattr(table_command, "table", table)
    status, _, err = alps("table", f"output={tmp_path}")
    assert status == 1
    assert "Traceback" in err and "ValueError: broken figure" in err


def test_an_error_without_a_message_is_named_by_its_type(alps, monkeypatch, tmp_path):
    def table(job, /, **_):
        raise ValueError

    monkeypatch.setattr(table_command, "table", table)
    status, _, err = alps("table", f"output={tmp_path}")
    assert (status, err) == (2, "alps: ValueError\n")


def test_completion_reaches_hydra_with_the_verb_of_the_line(alps, monkeypatch):
    status, out, _ = alps("-sc", "install=bash")
    assert status in (0, None) and "COMP_LINE" in out
    for line, choices in [("alps re", "restore"), ("alps restore operator=inp", "operator=inpaint_box")]:
        monkeypatch.setenv("COMP_LINE", line)
        status, out, _ = alps("-sc", "query=bash")
        assert status in (0, None) and choices in out.split()
