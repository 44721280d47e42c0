"""A process of a joblib sweep that is killed costs its own job at most."""

from concurrent.futures.process import BrokenProcessPool

import pytest
from hydra.core.plugins import Plugins

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
        return [launchers._returned(OK) for _ in job_overrides]

    monkeypatch.setattr(launchers.JoblibLauncher, "launch", launch)
    launcher = launchers.Joblib()
    launcher.task_function = type("Task", (), {"statuses": [OK]})()
    return launcher, deadly


def test_only_the_job_that_is_killed_again_fails(joblib, capsys):
    launcher, deadly = joblib
    jobs = [["seed=0"], ["seed=1"], ["seed=2"]]
    deadly.append(jobs[1])
    assert [done.return_value for done in launcher.launch(jobs, 0)] == [0, 1, 0]
    assert launcher.task_function.statuses == [0, 0, 1, 0]
    assert "alps: job 1 (seed=1) was killed again" in capsys.readouterr().err
