"""Sweeps: every job leaves a trace before the first one starts, and a wrong one harms no other."""

import pytest
from hydra.core.plugins import Plugins
from standstill import kill_at

from alps_exp.errors import SettingError
from alps_exp.report import build_table
from alps_exp.runs import RunFolder
from alps_exp.samplers import ALPS

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=2"]
TINY += [
    "logger=none",
    "figures=false",
    "trainer.accelerator=cpu",
    "operator=inpaint_random",
    "sampler.schedule.steps=2",
]


@pytest.mark.parametrize("launcher", ["basic", "joblib", "slurm"])
def test_the_config_of_every_job_is_there_before_the_first_one_starts(alps, tmp_path, monkeypatch, launcher):
    Plugins.instance()  # imports plugins anew
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    from hydra_plugins import alps_exp_launchers as launchers

    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{'submitit' if launcher == 'slurm' else launcher}_launcher")
    found = {}

    def launch(self, job_overrides, initial_job_idx):
        folders = [RunFolder(path.parent) for path in tmp_path.rglob("config.yaml")]
        found.update({folder.load_config()["seed"]: folder for folder in folders})
        return []

    kind = {"basic": BasicLauncher, "joblib": launchers.Joblib, "slurm": launchers.Slurm}[launcher]
    monkeypatch.setattr(kind, "launch", launch)
    request = [*TINY, "data.test.count=1", f"output_root={tmp_path}", "logger=csv"]
    chosen = [] if launcher == "basic" else [f"hydra/launcher={launcher}"]
    status, _, err = alps("restore", "-m", *request, *chosen, "seed=0,1,2", "hydra.sweeper.max_batch_size=2")
    assert status == 0, err
    assert sorted(found) == [0, 1, 2]
    assert alps("restore", *request, "seed=1")[0] == 0
    assert found[1].is_done() and not found[0].starts()
    assert found[1].load_config()["logger"]["save_dir"] == str(found[1].path)


def test_a_wrong_job_gives_one_line_and_harms_no_other(alps, tmp_path):
    request = ["restore", "-m", *TINY, "data.test.count=1", f"output_root={tmp_path}", "operator.noise_std=0.1,0,0.2"]
    status, _, err = alps(*request)
    assert status == 2 and len(list(tmp_path.rglob("DONE"))) == 2
    (line,) = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert line == "alps: [2/3] noise_std=0: noise_std must be a positive finite number, got 0"


EMPTY = [
    ("restore", "seed=range(0)", "seed=range(0)"),
    ("restore", "operator=glob(zzz*)", "operator=glob(zzz*) leaves the sweep without a job: expected one of denoise, "),
    ("restore", "operator=glob(inpaint_rndm)", "did you mean inpaint_random?"),
    ("calibrate", "seed=range(3,0)", "seed=range(3,0)"),
    ("distill", "seed=range(0)", "seed=range(0)"),
    ("train", "seed=shuffle(range(0))", "seed=shuffle(range(0))"),
    ("table", "runs=glob(*)", "runs=glob(*)"),
    ("prepare", "num_workers=range(0)", "num_workers=range(0)"),
    ("checkpoint", "weights=glob(*)", "weights=glob(*)"),
    ("restore", "hydra.sweeper.max_batch_size=0", "hydra.sweeper.max_batch_size is 0"),
]


@pytest.mark.parametrize(("verb", "word", "message"), EMPTY)
def test_a_sweep_without_a_job_is_refused(alps, tmp_path, monkeypatch, verb, word, message):
    monkeypatch.chdir(tmp_path)
    status, _, err = alps(verb, "-m", word)
    assert status == 2 and message in err and len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("launcher", ["joblib", "slurm"])
def test_a_sweep_without_a_job_is_refused_whatever_launches_it(alps, tmp_path, launcher):
    pytest.importorskip(f"hydra_plugins.hydra_{'submitit' if launcher == 'slurm' else launcher}_launcher")
    status, _, err = alps(
        "restore", "-m", *TINY, f"output_root={tmp_path}", f"hydra/launcher={launcher}", "seed=range(0)"
    )
    assert status == 2 and "seed=range(0)" in err
    assert not list(tmp_path.iterdir())


def test_a_launcher_that_is_refused_leaves_no_job_that_seems_to_wait(alps, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = ["hydra/launcher=slurm", "hydra.launcher.tasks_per_node=auto"]
    status, _, err = alps("restore", "-m", *TINY, f"output_root={tmp_path}", *launcher, "seed=0,1")
    assert status == 2 and "give their number, not 'auto'" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        ("restore", ["name=a,../../b"], "name is '../../b'"),
        ("restore", ["operator.noise_std=0.1,abc"], "operator.noise_std is 'abc', expected a number"),
        ("restore", ["+sede=0,1"], "unknown key 'sede': did you mean seed?"),
        ("restore", ["lpips=null,???"], "no lpips is given: add lpips=VALUE"),
        ("restore", ["experiment=null,demo_fac"], "unknown choice experiment=demo_fac: did you mean demo_face?"),
        ("train", ["name=a,/b", "trainer.max_steps=1"], "name is '/b'"),
    ],
)
def test_a_request_that_is_wrong_as_written_is_refused_before_the_first_job(alps, tmp_path, verb, words, message):
    request = TINY if verb == "restore" else ["logger=none"]
    status, _, err = alps(verb, "-m", *request, f"output_root={tmp_path}", *words)
    assert status == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert message in line
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in ([], ["multirun.yaml"])


def test_a_sweep_can_have_no_experiment_among_others(alps, tmp_path):
    request = ["-m", *TINY, f"output_root={tmp_path}", "data.test.count=1", "experiment=null,[]"]
    assert alps("restore", *request)[0] == 0
    assert len(list(tmp_path.rglob("DONE"))) == 1


def test_jobs_that_a_killed_sweep_did_not_begin_are_in_the_table_and_begin_when_it_is_repeated(alps, tmp_path):
    request = ["restore", "-m", *TINY, f"output_root={tmp_path / 'out'}", "data.test.count=1,2,3"]
    kill_at(
        "/.prior0001.h5.", *request, folder=tmp_path, reached=lambda: len(list(tmp_path.rglob("prior0000.h5"))) == 2
    )
    table = build_table([tmp_path / "out"])
    ended = table[table["status"] == "ok"]
    waiting = table[table["status"].str.startswith("not begun: ", na=False)]
    assert list(ended["images"]) == [1, 1] and len(waiting) == 1
    assert (waiting[["task", "noise_std", "sampler"]] == ["prior_inpaint_random", 0.05, "alps"]).all(axis=None)
    assert alps(*request)[0] == 0
    assert not build_table([tmp_path / "out"])["incomplete"].any()


def test_a_refused_request_is_no_row(alps, tmp_path):
    request = ["-m", *TINY, f"output_root={tmp_path / 'out'}", "data.test.count=1", "operator.noise_std=0.1,0"]
    assert alps("restore", *request)[0] == 2
    table = build_table([tmp_path / "out"])
    assert table[["noise_std", "status"]].to_numpy().tolist() == [[0.1, "ok"]] * 2
    assert len(list((tmp_path / "out").rglob("config.yaml"))) == 1


def test_a_request_that_its_first_batch_refuses_is_no_row_and_begins_again(alps, tmp_path, monkeypatch):
    request = [*TINY, f"output_root={tmp_path / 'out'}", "data.test.count=1"]
    assert alps("restore", *request, "seed=1")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(ALPS, "chain", refuse)
        assert alps("restore", *request)[0] == 2
    assert len(list((tmp_path / "out").rglob("provenance.json"))) == 2
    assert list(build_table([tmp_path / "out"])["seeds"]) == [1, 1]
    assert alps("restore", *request)[0] == 0
    assert list(build_table([tmp_path / "out"])["seeds"]) == [2, 2] and not list(tmp_path.rglob("REFUSED"))


def refuse(*_):
    raise SettingError("this sampler does not take such an operator")
