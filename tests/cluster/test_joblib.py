"""A process of a joblib sweep that is killed costs its own job at most."""

from concurrent.futures.process import BrokenProcessPool

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf

from alps_exp.cli.main import Task
from alps_exp.cli.objective import BASIC, Outcome

OK = 0


@pytest.fixture
def joblib(monkeypatch):
    """Return a launcher, and the jobs that kill the process that runs them."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    Plugins.instance()  # imports plugins anew
    from hydra_plugins import alps_exp_launchers as launchers

    deadly = []

    def launch(self, job_overrides, initial_job_idx):
        if any(overrides in deadly for overrides in job_overrides):
            raise BrokenProcessPool
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=Outcome(OK)) for _ in job_overrides]

    monkeypatch.setattr(launchers.JoblibLauncher, "launch", launch)
    launcher = launchers.Joblib()
    launcher.config = OmegaConf.create({"hydra": {"mode": RunMode.MULTIRUN, "sweeper": {"_target_": BASIC}}})
    launcher.task = Task("restore", [], None, None)
    return launcher, deadly


def test_only_the_job_that_is_killed_again_fails(joblib, capsys):
    launcher, deadly = joblib
    jobs = [["seed=0"], ["seed=1"], ["seed=2"]]
    deadly.append(jobs[1])
    assert [done.return_value for done in launcher.launch(jobs, 0)] == [None, None, None]
    assert [outcome.status for outcome in launcher.task.jobs.outcomes] == [0, 1, 0]
    assert "alps: job 1 (seed=1) was killed again" in capsys.readouterr().err
    launcher.task.jobs.report()
    out, err = capsys.readouterr()
    assert "3 jobs" in out and "2 done, 1 failed" in out and err == "failed: seed=1: exit status 1\n"


def test_a_killed_trial_is_failed_to_a_sweeper_that_waits_for_its_value(joblib):
    launcher, deadly = joblib
    launcher.config = OmegaConf.create(
        {"objective": "mmse/psnr", "hydra": {"mode": RunMode.MULTIRUN, "sweeper": {"_target_": "optuna"}}}
    )
    deadly.append(["seed=0"])
    (done,) = launcher.launch([["seed=0"]], 0)
    assert done.status is JobStatus.FAILED and launcher.task.jobs.worst == 1
