"""A sweeper that is not Hydra's own, from a package of a user, runs the jobs; what can be known before is checked."""

import json
import os
import subprocess
import sys

import pytest

from alps_exp.runs import RunFolder

pytestmark = pytest.mark.slow

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=2"]
TINY += [
    "logger=none",
    "figures=false",
    "trainer.accelerator=cpu",
    "operator=inpaint_random",
    "sampler.schedule.steps=2",
]
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


COMMANDS = {
    "chosen": ["hydra/sweeper=seeds", "operator.noise_std=interval(0.1,1)"],
    "one is wrong": ["hydra/sweeper=seeds", "seed=???", "hydra.sweeper.params.seed=[abc,5]"],
    "unknown key": ["hydra/sweeper=seeds", "operator.noise_sdt=interval(0.1,1)"],
    "wrong value": ["hydra/sweeper=seeds", "num_samples=abc"],
    "no job": ["hydra/sweeper=seeds", "save=range(0)"],
    "listed": ["hydra/sweeper=listed"],
}
DRIVER = """
import contextlib, io, json, sys
from alps_exp.cli.main import main

results = {}
for name, words in json.loads(sys.argv[1]).items():
    sys.argv, errors = ["alps", *words], io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as end:
            status = end.code
    results[name] = status, [line for line in errors.getvalue().splitlines() if line.startswith("alps: ")]
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """Run the sweeps in one process that finds the user's package; return their statuses, errors and folders."""
    root = tmp_path_factory.mktemp("sweeps")
    (root / "lab" / "hydra_plugins").mkdir(parents=True)
    (root / "lab" / "hydra_plugins" / "seeds_sweeper.py").write_text(SWEEPER)
    group = root / "lab" / "conf" / "hydra" / "sweeper"
    group.mkdir(parents=True)
    (group / "seeds.yaml").write_text(GROUP)
    (group / "listed.yaml").write_text("defaults: [basic]\nparams:\n  seed: 0,abc\n")
    paths = [str(root / "lab"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    search = f"hydra.searchpath=[file://{root / 'lab' / 'conf'}]"
    commands = {
        name: ["restore", "-m", f"output_root={root / name}", *TINY, search, *words] for name, words in COMMANDS.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert done.returncode == 0, done.stderr
    return {name: (status, lines, root / name) for name, (status, lines) in json.loads(done.stdout).items()}


def test_it_chooses_the_values_while_jobs_run(sweeps):
    status, lines, folder = sweeps["chosen"]
    assert (status, lines) == (0, [])
    configs = [RunFolder(done.parent).load_config() for done in folder.rglob("DONE")]
    assert sorted((config["seed"], config["operator"]["noise_std"]) for config in configs) == [(3, 0.2), (5, 0.1)]


def test_the_worst_of_its_jobs_is_the_exit_status(sweeps):
    status, (line,), folder = sweeps["one is wrong"]
    assert status == 2 and line.endswith(": seed is 'abc', expected a whole number")
    assert len(list(folder.rglob("DONE"))) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown key", "unknown key 'operator.noise_sdt': did you mean operator.noise_std?"),
        ("wrong value", "num_samples is 'abc', expected a whole number"),
        ("no job", "save=range(0) leaves the sweep without a job: expected values, as KEY=1,2"),
        ("listed", "seed is 'abc', expected a whole number"),  # of the config of Hydra's own sweeper
    ],
)
def test_what_no_value_of_it_can_mend_is_refused_before_the_first_job(sweeps, name, message):
    status, lines, folder = sweeps[name]
    assert (status, lines) == (2, [f"alps: {message}"])
    assert not folder.exists()
