"""Sweeps on a real SLURM, two ranks in one of its jobs, and a job that runs out of time."""

import json
import subprocess
import sys
import time

import pytest
import single_node_slurm
from hydra.core.plugins import Plugins

from alps_exp.cli import main as command
from alps_exp.runs import RunFolder

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=2"]
TINY += ["data.test.count=3", "logger=none", "figures=false", "trainer.accelerator=cpu", "operator=inpaint_random"]
SLURM = ["hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1"]
SLOW_SAMPLER = """
import os, time
from alps_exp.samplers import ALPS

class Slow(ALPS):
    def __call__(self, *arguments, **keywords):
        time.sleep(float(os.environ.get("NAP", 0)))
        return super().__call__(*arguments, **keywords)
"""


@pytest.fixture(scope="module")
def slurm():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    if problem := single_node_slurm.start():
        pytest.skip(problem)


def alps(*arguments):
    return [sys.executable, "-m", "alps_exp", *arguments]


def records_of(folder):
    lines = {path.parent.name: path.read_text().splitlines() for path in folder.rglob("records.jsonl")}
    measured = {"seconds": None, "peak_memory_mib": None}
    return {run: [json.loads(line) | measured for line in found] for run, found in lines.items()}


def test_a_launcher_that_is_not_installed_is_named_with_its_extra(monkeypatch, capsys, tmp_path):
    Plugins.instance()  # imports plugins anew
    from hydra_plugins import alps_exp_launchers

    refuse = alps_exp_launchers._NotInstalled.__init__
    for name in ("Slurm", "Joblib"):
        monkeypatch.setattr(getattr(alps_exp_launchers, name), "__init__", refuse)
    for launcher in ("slurm", "joblib"):
        monkeypatch.setattr(sys, "argv", ["alps", "restore", "-m", *TINY, f"hydra/launcher={launcher}", "seed=0,1"])
        sys.argv.append(f"output_root={tmp_path}")
        with pytest.raises(SystemExit) as stop:
            command.main()
        assert stop.value.code == 2
        assert "alps: this hydra/launcher needs the extra 'slurm': pip install" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_with_a_canceled_job_is_completed_by_its_repetition(slurm, tmp_path):
    request = alps("restore", "-m", *SLURM, *TINY, "sampler=alps", "seed=0,1,2,3,4,5", f"output_root={tmp_path}")
    request.append("sampler.schedule.steps=20")
    sweep = subprocess.Popen(request, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    queue = ["squeue", "--noheader", "--array", "--me", "--format=%i %T"]
    jobs = []
    while sweep.poll() is None and len(jobs) < 6:
        jobs = [line.split()[0] for line in subprocess.check_output(queue, text=True).splitlines()]
        time.sleep(0.2)
    subprocess.run(["scancel", jobs[-1]], check=True)
    _, err = sweep.communicate()
    assert sweep.returncode == 1
    assert err.count("was ended before it was done") == 1 and jobs[-1] in err
    assert len(list(tmp_path.rglob("DONE"))) == 5
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")}
    assert subprocess.run(request, capture_output=True).returncode == 0
    assert len(list(tmp_path.rglob("DONE"))) == 6
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())
    table = alps("table", f"runs={tmp_path / 'restore'}", f"output={tmp_path / 'table'}", "figures=false")
    assert " ok " in subprocess.run(table, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_job_with_a_wrong_request_gives_the_sweep_its_status_and_harms_no_other(slurm, tmp_path, ranks):
    request = alps("restore", "-m", *SLURM, *TINY, "operator.noise_std=0.1,0", f"output_root={tmp_path}")
    request += [f"trainer.devices={ranks}", *(["trainer.strategy=ddp"] if ranks > 1 else [])]
    done = subprocess.run([*request, "sampler.schedule.steps=2"], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert len(list(tmp_path.rglob("DONE"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 1])
def test_two_ranks_of_one_job_share_images_or_samples(slurm, tmp_path, count):
    short = [*TINY, "sampler.schedule.steps=3", f"data.test.count={count}"]
    ranks = ["trainer.devices=2", "trainer.strategy=ddp"]
    two = alps("restore", "-m", *SLURM, *short, *ranks, f"output_root={tmp_path / 'two'}")
    assert subprocess.run(two, capture_output=True).returncode == 0
    subprocess.run(alps("restore", *short, f"output_root={tmp_path / 'one'}"), check=True, capture_output=True)
    assert_close(records_of(tmp_path / "two"), records_of(tmp_path / "one"))


def assert_close(shared, alone):
    assert shared.keys() == alone.keys()
    for run, records in shared.items():
        assert [r["image_id"] for r in records] == [r["image_id"] for r in alone[run]]
        assert [r["psnr"] for r in records] == pytest.approx([r["psnr"] for r in alone[run]], abs=1e-3)


@pytest.mark.slow
def test_a_job_that_runs_out_of_time_runs_again_and_leaves_the_records_of_an_undisturbed_one(
    slurm, tmp_path, monkeypatch
):
    """A minute, SLURM's shortest limit, is less than twelve images take."""
    (tmp_path / "slow_sampler.py").write_text(SLOW_SAMPLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    request = [*TINY, "data.test.count=12", "data.batch_size=1", "sampler._target_=slow_sampler.Slow"]
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    subprocess.run(alps("restore", *request, f"output_root={calm}"), check=True, capture_output=True)
    monkeypatch.setenv("NAP", "5")
    limits = ["hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=1", "hydra.launcher.name=out_of_time"]
    sweep = subprocess.Popen(alps("restore", "-m", *SLURM, *request, *limits, f"output_root={stormy}"))
    while sweep.poll() is None:
        start_at_once("out_of_time")
        time.sleep(1)
    assert sweep.returncode == 0
    (done,) = stormy.rglob("DONE")
    starts = RunFolder(done.parent).starts()
    assert [start.end is None for start in starts] == [True] * (len(starts) - 1) + [False] and len(starts) > 1
    assert records_of(stormy) == records_of(calm)


def start_at_once(name):
    """Run the jobs of a name that SLURM has put in its queue again, and holds back there for two minutes."""
    queue = ["squeue", "--noheader", "--me", f"--name={name}", "--states=PENDING", "--format=%i %r"]
    for line in subprocess.check_output(queue, text=True).splitlines():
        job, reason = line.split()
        if reason == "BeginTime":
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)
