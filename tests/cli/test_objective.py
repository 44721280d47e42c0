"""A sweeper optimizes the objective of its jobs, of which the failed ones report none; their runs are trials."""

import json
import re
from functools import reduce
from operator import getitem

import pandas as pd
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import OmegaConf

from alps_exp.cli.objective import Outcome, best_of, check_objective
from alps_exp.runs import RunFolder
from alps_exp.runs.objective import objective_value
from alps_exp.runs.study import StudyTrial

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=4"]
TINY += ["logger=none", "figures=false", "trainer.accelerator=cpu", "operator=inpaint_random", "data.test.count=2"]
TINY += ["sampler.schedule.steps=3"]
SEARCH = "sampler.schedule.sigma_max=interval(1,20)"


@pytest.fixture
def search(alps, tmp_path):
    """Return what searches with Optuna: the exit status, the lines of the command, and what Optuna found."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

    def run(*words, trials=3):
        request = ["-m", "hydra/sweeper=optuna", f"hydra.sweeper.n_trials={trials}", *TINY, f"output_root={tmp_path}"]
        status, out, err = alps("restore", *request, *words)
        found = tmp_path / "restore" / "optimization_results.yaml"
        lines = [line for line in err.splitlines() if line.startswith("alps: ")]
        return status, lines, OmegaConf.load(found) if found.exists() else None

    return run


def values_of(folder, *keys):
    """Return the mean PSNR of the runs of a folder by one of their settings, from their records."""
    found = {}
    for path in folder.rglob("records.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        psnr = [record["psnr"] for record in records if record["estimate"] == "mmse"]
        setting = reduce(getitem, keys, RunFolder(path.parent).load_config())
        found[setting] = sum(psnr) / len(psnr)
    return found


def test_optuna_finds_the_best_of_its_trials_and_the_table_shows_them_apart(search, alps, tmp_path):
    assert search("objective=mmse/psnr", SEARCH)[:2] == (0, [])
    again = search("objective=mmse/psnr", SEARCH)  # the finished jobs report theirs again
    values = values_of(tmp_path, "sampler", "schedule", "sigma_max")
    best = max(values, key=values.get)
    assert len(values) == 3 and len(set(values.values())) == 3
    for result in (search("objective=mmse/psnr", SEARCH)[2], again[2]):
        assert result.best_value == pytest.approx(values[best], abs=1e-12)
        assert result.best_params["sampler.schedule.sigma_max"] == best
    assert alps("restore", *TINY, f"output_root={tmp_path}", "seed=5")[0] == 0
    assert alps("table", f"runs={tmp_path}", f"output={tmp_path / 'table'}", "figures=false")[0] == 0
    table, trials = (pd.read_csv(tmp_path / "table" / f"{name}.csv") for name in ("table", "trials"))
    assert list(table["estimate"]) == ["sample", "mmse"]
    assert dict(zip(trials["sampler.schedule.sigma_max"], trials["value"], strict=True)) == pytest.approx(values)
    assert list(trials["sampler.schedule.sigma_max"][trials["best"]]) == [best]


def test_a_trial_that_is_asked_for_by_itself_is_in_both_tables(search, alps, tmp_path):
    assert search("objective=mmse/psnr", "sampler.schedule.sigma_max=choice(2,5)", trials=1)[0] == 0
    (run,) = (RunFolder(path.parent) for path in tmp_path.rglob("DONE"))
    value = run.load_config()["sampler"]["schedule"]["sigma_max"]
    table = ["table", f"runs={tmp_path}", f"output={tmp_path / 'table'}", "figures=false"]
    assert alps(*table)[0] == 0 and pd.read_csv(tmp_path / "table" / "table.csv").empty
    assert alps("restore", *TINY, f"output_root={tmp_path}", f"sampler.schedule.sigma_max={value}")[0] == 0
    assert alps(*table)[0] == 0
    assert len(pd.read_csv(tmp_path / "table" / "table.csv")) == 2
    assert len(pd.read_csv(tmp_path / "table" / "trials.csv")) == 1


def test_a_failed_trial_has_no_value_and_the_others_go_on(search, tmp_path):
    status, (line,), found = search("objective=mmse/nmse", "operator.noise_std=interval(-1.3,0.9)")
    assert status == 2 and "noise_std must be a positive finite number, got -0." in line
    assert len(list(tmp_path.rglob("DONE"))) == 2
    assert found.best_params["operator.noise_std"] > 0 and 0 < found.best_value < 1


def test_a_sweep_whose_trials_all_fail_says_so_and_has_their_status(search):
    status, lines, found = search("objective=mmse/psnr", SEARCH, "operator.noise_std=-1", trials=2)
    assert status == 2 and found is None
    assert all(line.endswith("noise_std must be a positive finite number, got -1") for line in lines[:2])
    assert lines[2:] == ["alps: no job has a value of the objective"]


def test_a_sweeper_may_end_at_a_failed_trial(search):
    request = ["objective=mmse/psnr", SEARCH, "operator.noise_std=-1", "hydra.sweeper.max_failure_rate=0"]
    status, lines, _ = search(*request)
    assert status == 2 and len(lines) == 2 and "max_failure_rate" in lines[1]


def test_images_that_failed_leave_no_objective(search, monkeypatch, tmp_path):
    from alps_exp.restoration import Restoration

    judge = Restoration.results

    def all_but_one(self, measured, restored):
        results = judge(self, measured, restored)
        results[0].records[:] = [record.failed("lost") for record in results[0].records[:1]]
        return results

    monkeypatch.setattr(Restoration, "results", all_but_one)
    status, lines, found = search("objective=mmse/psnr", SEARCH, trials=1)
    assert status == 1 and found is None and lines == ["alps: no job has a value of the objective"]
    (path,) = tmp_path.rglob("DONE")
    with pytest.raises(ValueError, match="images failed"):
        objective_value(RunFolder(path.parent), "mmse/psnr")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "hydra/sweeper=optuna needs to know what to optimize: give objective=mmse/psnr"),
        (["objective=mmse/pnsr"], "objective is 'mmse/pnsr': did you mean mmse/psnr?"),
        (["objective=map/psnr"], "objective is 'map/psnr': "),
        (["objective=3"], "objective is 3"),
        (["objective=mmse/psnr", "hydra.sweeper.direction=minimize"], "give hydra.sweeper.direction=maximize"),
        (["objective=mmse/nmse", "hydra.sweeper.direction=maximize"], "give hydra.sweeper.direction=minimize"),
        (
            ["objective=mmse/psnr", "hydra.sweeper.direction=[maximize,minimize]"],
            "give hydra.sweeper.direction=maximize",
        ),
    ],
)
def test_what_cannot_be_optimized_is_refused_before_the_first_job(search, tmp_path, words, message):
    status, (line,), _ = search(*words, SEARCH)
    assert status == 2 and message in line
    assert not list(tmp_path.iterdir())


def test_a_sweeper_without_a_sweep_and_a_verb_without_an_objective_are_refused(alps, tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    monkeypatch.chdir(tmp_path)
    status, _, err = alps("restore", *TINY, "hydra/sweeper=optuna", "objective=mmse/psnr")
    assert status == 2 and "add -m" in err
    status, _, err = alps("calibrate", "-m", "hydra/sweeper=optuna", "seed=range(0,3)")
    assert status == 2 and "alps calibrate has no objective" in err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_processes_of_a_launcher_report_to_the_sweeper(search, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["objective=mmse/psnr", "operator.noise_std=interval(-1.3,0.9)", "hydra/launcher=joblib"]
    status, _, found = search(*words, "hydra.sweeper.n_jobs=3")
    values = values_of(tmp_path, "operator", "noise_std")
    assert status == 2 and len(values) == 2
    assert found.best_value == pytest.approx(max(values.values()))


def test_the_validation_of_a_training_is_its_objective_also_when_it_is_done(teach, alps, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "trainer.max_steps=2"]
    words.append("training.optimizer.learning_rate=tag(log,interval(1e-6,1e-2))")
    status, _, err = teach(*words, "objective=validation/gap")  # of an energy
    assert status == 2 and "did you mean validation/mse_sigma_" in err
    for name in ("validation/mse_sigma_1", "validation/mse_sigma_1", "validation/mse_sigma_10"):
        status, out, err = teach(*words, f"objective={name}")
        assert status == 0, err
        values = [json.loads(path.read_text())[name] for path in tmp_path.rglob("validation.json")]
        found = OmegaConf.load(tmp_path / "out" / "train" / "optimization_results.yaml")
        assert len(values) == 2 and found.best_value == min(values) < max(values)
    status, _, err = alps("table", f"runs={tmp_path / 'out' / 'train'}", f"output={tmp_path / 'table'}")
    assert status == 0, err
    trials = pd.read_csv(tmp_path / "table" / "trials.csv")
    assert trials["objective"].value_counts().to_dict() == {"validation/mse_sigma_1": 2, "validation/mse_sigma_10": 2}
    assert trials.groupby("objective")["value"].min()[name] == found.best_value


def test_the_objective_is_no_part_of_what_names_a_run(alps, tmp_path):
    for words in ([], ["objective=mmse/psnr"], ["objective=sample/ssim"]):
        assert alps("restore", *TINY, f"output_root={tmp_path}", *words)[0] == 0
    assert len(list(tmp_path.rglob("DONE"))) == 1


def test_a_dry_run_refuses_an_objective_that_the_sampler_does_not_give(alps, tmp_path):
    words = ["dry_run=true", "logger=none", f"output_root={tmp_path}"]
    assert alps("restore", *words, "sampler=map", "objective=map/psnr")[0] == 0
    assert alps("restore", *words, "sampler=sense", "objective=point/ssim")[0] == 0
    for sampler, objective in (("map", "mmse/psnr"), ("sense", "point/miscalibration")):
        status, _, err = alps("restore", *words, f"sampler={sampler}", f"objective={objective}")
        assert status == 2 and f"objective is '{objective}'" in err
    status, _, err = alps("train", *words, "objective=validation/gap")
    assert status == 2 and "did you mean validation/mse" in err


@pytest.mark.parametrize(("objective", "best"), [("mmse/psnr", "3"), ("mmse/nmse", "1")])
def test_the_best_trial_is_named_with_its_settings(objective, best):
    trials = [(2.0, "1"), (None, "2"), (5.0, "3")]
    outcomes = [Outcome(0, value, StudyTrial("s", "optuna", 0, objective, {"seed": seed})) for value, seed in trials]
    assert f"with seed={best};" in best_of(outcomes)
    assert best_of([Outcome(1, is_awaited=True), Outcome(0)]) is None


@pytest.mark.parametrize(
    ("sweeper", "objective", "cure"),
    [
        ({"optim": {"maximize": False}}, "mmse/psnr", "hydra.sweeper.optim.maximize=true"),
        ({"optim": {"maximize": True}}, "mmse/psnr", None),
        (
            {"ax_config": {"experiment": {"minimize": True}}},
            "mmse/ssim",
            "hydra.sweeper.ax_config.experiment.minimize=false",
        ),
        ({"ax_config": {"experiment": {"minimize": True}}}, "mmse/miscalibration", None),
    ],
)
def test_the_direction_of_other_sweepers_must_fit(sweeper, objective, cure):
    hydra = OmegaConf.create(
        {"mode": RunMode.MULTIRUN, "sweeper": {"_target_": "theirs", **sweeper}, "runtime": {"choices": {}}}
    )
    request = {"objective": objective, "sampler": {"_target_": "alps_exp.samplers.ALPS"}}
    if cure is None:
        check_objective("restore", request, hydra)
    else:
        with pytest.raises(ValueError, match=f"give {re.escape(cure)}"):
            check_objective("restore", request, hydra)


def test_optuna_that_is_not_installed_is_named_with_its_extra(alps, monkeypatch, tmp_path):
    Plugins.instance()
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["sweeper"], "optuna.yaml", raising=False)
    status, _, err = alps(
        "restore", "-m", "hydra/sweeper=optuna", "objective=mmse/psnr", f"output_root={tmp_path}", SEARCH
    )
    assert status == 2 and "needs the extra 'optuna': pip install 'alps_exp[optuna]'" in err
    assert not list(tmp_path.iterdir())
