"""A finished job answers at once, unless something about it has changed; the jobs of a sweep share what they load."""

import os
import subprocess
import sys

import numpy as np
import pytest
from omegaconf import OmegaConf

from alps_exp.checkpoints import model_path
from alps_exp.cli import inference
from alps_exp.priors import Energy

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "operator=denoise"]
TINY += ["logger=none", "figures=false", "sampler.schedule.steps=2", "num_samples=2", "data.test.count=2"]


def imported(*words):
    """Run the command in a process of its own, and return what it prints and the modules that it imports."""
    command = [sys.executable, "-X", "importtime", "-m", "alps_exp", *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout, {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}


def test_a_finished_job_imports_neither_lightning_nor_torchmetrics(alps, tmp_path):
    request = ["restore", *TINY, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    for words in (request, [*request, "-m", "seed=0"]):
        out, modules = imported(*words)
        assert "is done already" in out
        assert "torch" in modules and modules.isdisjoint({"pytorch_lightning", "torchmetrics", "pandas", "matplotlib"})


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_a_finished_job_is_still_checked_where_the_request_is_another(alps, tmp_path, sweep):
    request = ["restore", *sweep, *TINY, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    status, _, err = alps(*request, "+trainer.devises=1")  # of the machine: not in the hash of the run
    assert status == 2 and "trainer.devises" in err
    status, out, _ = alps(*request, "trainer.devices=1")
    assert status == 0 and "is done already" in out


def test_other_data_are_noticed_before_a_job_counts_as_finished(alps, tmp_path):
    file = tmp_path / "mask.npy"
    mask = np.eye(12)
    request = ["restore", *TINY, f"+regions.tumor={file}", f"output_root={tmp_path / 'out'}"]
    np.save(file, mask)
    assert alps(*request)[0] == 0
    np.save(file, 1 - mask)
    status, _, err = alps(*request)
    assert status == 2 and "other inputs (data" in err


def test_jobs_of_a_sweep_share_the_model(alps, tmp_path, monkeypatch):
    loads, load = [], inference.instantiate
    monkeypatch.setattr(inference, "_LOADED", {})
    monkeypatch.setattr(inference, "instantiate", lambda config: loads.append(config.name) or load(config))
    request = ["restore", "data=astronaut", "operator=inpaint_box", "sampler.schedule.steps=2", "num_samples=1"]
    request += ["logger=none", "figures=false", f"output_root={tmp_path}", "-m", "seed=0,1"]
    assert alps(*request)[0] == 0
    assert loads == ["faces64"]


def test_a_model_whose_file_has_changed_is_loaded_again(tmp_path):
    file = tmp_path / "own.safetensors"
    file.write_bytes(model_path("faces64", "energy").read_bytes())
    config = OmegaConf.create({"_target_": "alps_exp.priors.load_energy", "name": str(file)})
    first = inference.ChosenPrior("energy", config).load("float32", False)
    assert isinstance(first, Energy)
    assert inference.ChosenPrior("energy", config).load("float32", False) is first
    os.utime(file, ns=(0, 0))
    assert inference.ChosenPrior("energy", config).load("float32", False) is not first
