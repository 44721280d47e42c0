"""The jobs of a sweep: how each is named, how long the rest takes, and what is said at the end."""

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from alps_exp.cli import jobs as module
from alps_exp.cli.jobs import Jobs, Running
from alps_exp.cli.objective import Outcome
from alps_exp.runs import RunFolder
from alps_exp.runs.job import JobContext


def hydra(number, overrides, mode=RunMode.MULTIRUN):
    choices = {"operator": "inpaint_box", "sampler": "alps"}
    config = {
        "mode": mode,
        "job": {"num": number},
        "overrides": {"task": overrides},
        "runtime": {"choices": choices},
    }
    return OmegaConf.create(config)


@pytest.mark.parametrize(
    ("number", "words", "overrides", "place"),
    [
        (2, ["sampler=alps,map", "seed=0,1"], ["sampler=map", "seed=0"], "[3/12] map seed=0: "),
        (
            0,
            ["sampler=map", "seed=0,1", "figures=false"],
            ["sampler=map", "seed=1", "figures=False"],
            "[1/12] seed=1: ",
        ),
        (0, ["operator.noise_std=1,2"], ["operator.noise_std=2"], "[1/12] noise_std=2: "),
        (0, ["sampler=map", "seed=0"], ["sampler=map", "seed=0"], "[1/12] map: "),
        (0, ["seed=0"], ["seed=0"], "[1/12]: "),
    ],
)
def test_a_job_is_named_by_what_distinguishes_it(number, words, overrides, place):
    assert Jobs(count=12).place(hydra(number, overrides), words) == place


def test_a_job_of_no_sweep_has_no_place_and_one_of_a_search_no_count():
    assert Jobs().place(hydra(0, ["seed=1"], RunMode.RUN), []) == ""
    assert Jobs().place(hydra(4, ["seed=1"]), []) == "[5] seed=1: "


class Work:
    left = None

    def __str__(self):
        return "image 2 of 3"

    def seconds_left(self):
        return self.left


@pytest.fixture
def clock(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    return clock


def test_the_time_left_is_that_of_the_jobs_that_this_start_has_run(clock, tmp_path):
    job = JobContext(OmegaConf.create(), RunFolder(tmp_path), place="[3/6] map: ", progress=Work())
    jobs = Jobs(count=6, outcomes=[Outcome(0, seconds=1.0, was_done=True), Outcome(0, seconds=30.0)])
    running = Running(job, jobs, one_by_one=True, begun=0.0)
    clock[0] = 10.0
    assert str(running) == "[3/6] map: image 2 of 3, 1:50 left for all jobs"  # 20 s of this, and 3 of 30 s
    job.progress.left = 50.0
    assert str(running) == "[3/6] map: image 2 of 3, 3:05 left for all jobs"  # 50 s, and 3 of (30 + 60) / 2
    beside_others = Running(job, jobs, one_by_one=False, begun=0.0)
    assert str(beside_others) == "[3/6] map: image 2 of 3, 0:50 left"
    alone = Running(JobContext(job.config, job.folder), Jobs(), one_by_one=True, begun=0.0)
    assert str(alone) == "at work for 0:10"


def test_the_end_of_a_sweep_says_what_became_of_its_jobs(clock, capsys):
    jobs = Jobs(outcomes=[Outcome(0), Outcome(0, was_done=True), Outcome(2, place="[3/3] map: ")], begun=0.0)
    clock[0] = 61.0
    jobs.report()
    out, err = capsys.readouterr()
    assert out == "3 jobs in 1:01: 1 done, 1 done before, 1 failed\n"
    assert err == "failed: [3/3] map: exit status 2\n" and jobs.worst == 2


def test_a_single_job_needs_no_sum(capsys):
    Jobs(outcomes=[Outcome(0)]).report()
    assert capsys.readouterr() == ("", "")
