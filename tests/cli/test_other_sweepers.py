"""A sweeper that is not Hydra's own, from a package of a user, runs the jobs; what can be known before is checked."""

import os
import subprocess
import sys

import pytest

from alps_exp.runs import RunFolder

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=2"]
TINY += ["logger=none", "trainer.accelerator=cpu", "operator=inpaint_random", "sampler.schedule.steps=2"]
TINY += ["data.test.count=1"]
SWEEPER = """
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


class Seeds(Sweeper):
    def __init__(self, params, max_batch_size=None):
        self.seeds = params["seed"]

    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments):
        fixed = [word for word in arguments if not word.startswith("operator.noise_std=")]
        for number, seed in enumerate(self.seeds):
            self.launcher.launch([[*fixed, f"seed={seed}", f"operator.noise_std=0.{number + 1}"]], number)
"""
GROUP = """
_target_: hydra_plugins.seeds_sweeper.Seeds
params:
  seed: [5, 3]
"""


@pytest.fixture
def sweep(tmp_path):
    """Return what runs a sweep in a process that finds the user's package: its exit status and errors."""
    (tmp_path / "lab" / "hydra_plugins").mkdir(parents=True)
    (tmp_path / "lab" / "hydra_plugins" / "seeds_sweeper.py").write_text(SWEEPER)
    group = tmp_path / "lab" / "conf" / "hydra" / "sweeper"
    group.mkdir(parents=True)
    (group / "seeds.yaml").write_text(GROUP)
    (group / "listed.yaml").write_text("defaults: [basic]\nparams:\n  seed: 0,abc\n")
    paths = [str(tmp_path / "lab"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]

    def run(*words):
        command = [sys.executable, "-m", "alps_exp", "restore", "-m", f"output_root={tmp_path / 'out'}", *TINY]
        done = subprocess.run(
            [*command, f"hydra.searchpath=[file://{tmp_path / 'lab' / 'conf'}]", *words],
            capture_output=True,
            text=True,
            timeout=240,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("alps: ")]

    return run


def test_it_chooses_the_values_while_jobs_run(sweep, tmp_path):
    assert sweep("hydra/sweeper=seeds", "operator.noise_std=interval(0.1,1)") == (0, [])
    configs = [RunFolder(done.parent).load_config() for done in tmp_path.rglob("DONE")]
    assert sorted((config["seed"], config["operator"]["noise_std"]) for config in configs) == [(3, 0.2), (5, 0.1)]


def test_the_worst_of_its_jobs_is_the_exit_status(sweep, tmp_path):
    status, (line,) = sweep("hydra/sweeper=seeds", "seed=???", "hydra.sweeper.params.seed=[abc,5]")
    assert status == 2 and line == "alps: seed is 'abc', expected a whole number"
    assert len(list(tmp_path.rglob("DONE"))) == 1


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("operator.noise_sdt=interval(0.1,1)", "unknown key 'operator.noise_sdt': did you mean operator.noise_std?"),
        ("num_samples=abc", "num_samples is 'abc', expected a whole number"),
        ("save=range(0)", "save=range(0) leaves the sweep without a job: expected values, as KEY=1,2"),
    ],
)
def test_what_no_value_of_it_can_mend_is_refused_before_the_first_job(sweep, tmp_path, word, message):
    assert sweep("hydra/sweeper=seeds", word) == (2, [f"alps: {message}"])
    assert not (tmp_path / "out").exists()


def test_what_the_config_of_hydras_own_sweeper_adds_is_checked_too(sweep, tmp_path):
    assert sweep("hydra/sweeper=listed") == (2, ["alps: seed is 'abc', expected a whole number"])
    assert not (tmp_path / "out").exists()
