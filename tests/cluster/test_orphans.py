"""kill -9 of the first process of a job: those that work for it end too."""

import os
import signal
import subprocess
import sys
import time

import pytest

SMALL = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".size=12")]
SMALL += ["data=prior", "logger=none", "trainer.accelerator=cpu", "data.batch_size=1", "figures=false"]
LONG = ["data.test.count=10000", "num_samples=2", "sampler.schedule.steps=2"]


def of_session(leader):
    """Return the living processes of a session, but for its leader."""
    listed = subprocess.check_output(["ps", "-eo", "pid,sess,stat"], text=True).splitlines()[1:]
    rows = [line.split() for line in listed]
    return {int(pid) for pid, session, state in rows if int(session) == leader != int(pid) and state[0] != "Z"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["-m", "seed=0,1", "hydra/launcher=joblib"], ["trainer.devices=2", "trainer.strategy=ddp"]]
)
def test_workers_and_ranks_end_with_it(tmp_path, words):
    request = [sys.executable, "-m", "alps_exp", "restore", *words, *SMALL, *LONG, f"output_root={tmp_path}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(request, start_new_session=True, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.rglob("*.h5"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert of_session(first.pid)
        first.kill()
        first.wait()
        deadline = time.monotonic() + 10
        while of_session(first.pid) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not of_session(first.pid)
    finally:
        for pid in of_session(first.pid):
            os.kill(pid, signal.SIGKILL)
