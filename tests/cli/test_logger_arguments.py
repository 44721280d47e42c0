"""Arguments of W&B and TensorBoard go through the config to what their files hold; wrong ones are refused in a line."""

import pytest
from offline_wandb import logged

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=2"]
TINY += ["trainer.accelerator=cpu", "operator=inpaint_random", "sampler.schedule.steps=2", "data.test.count=1"]


@pytest.fixture
def restore(alps, drawn, tmp_path):
    """Return what restores with a logger, and returns the exit status and what the command reports."""

    def run(*words):
        status, _, err = alps("restore", *TINY, f"output_root={tmp_path / 'out'}", *words)
        return status, [line for line in err.splitlines() if line.startswith("alps: ")]

    return run


def test_arguments_of_both_packages_reach_wandb(no_key, restore, tmp_path):
    ours = ["logger.project=brains", "logger.entity=lab", "logger.tags=[night,ablation]", "logger.group=first"]
    theirs = ["logger.notes='a note'", "logger.job_type=judge", "+logger.id=chosen", "+logger.config.scanner=3T"]
    assert restore(*ours, *theirs, "+logger.prefix=test", "+logger.settings.host=nobody") == (0, [])
    run, names = logged(tmp_path)
    assert (run.project, run.entity, list(run.tags), run.run_group) == ("brains", "lab", ["night", "ablation"], "first")
    assert (run.notes, run.job_type, run.run_id, run.host) == ("a note", "judge", "chosen", "nobody")
    assert "scanner" in {item.key for item in run.config.update}
    assert any(name.startswith("test-") for name in names)
    (id_file,) = tmp_path.rglob("wandb_id")
    assert id_file.read_text() == "chosen"


@pytest.mark.parametrize("word", ["+logger.mode=offline", "+logger.offline=true", "+logger.mode=online"])
def test_the_mode_of_a_request_wins_over_the_environment_but_not_over_a_missing_key(no_key, restore, tmp_path, word):
    no_key.setenv("WANDB_MODE", "disabled")
    assert restore(word) == (0, [])
    assert logged(tmp_path)[0].project == "alps_exp"


def test_a_run_can_be_disabled_by_the_request(no_key, restore, tmp_path):
    assert restore("+logger.mode=disabled") == (0, [])
    assert not list(tmp_path.rglob("*.wandb"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["+logger.entiti=lab"], "unknown key 'logger.entiti': did you mean logger.entity?"),
        (["+logger.note=x"], "unknown key 'logger.note': did you mean logger.notes?"),
        (["+logger.log_modle=all"], "unknown key 'logger.log_modle': did you mean logger.log_model?"),
        (["+logger.zzz=x"], "unknown key 'logger.zzz': Lightning's WandbLogger and wandb.init have no such argument"),
        (["+logger.experiment=x"], "unknown key 'logger.experiment': "),
        (["+logger.dir=x"], "logger.dir is not used: give logger.save_dir"),
        (["logger.tags=night"], "logger.tags is 'night', expected "),
        (["+logger.mode=of"], "logger.mode is 'of', expected one of online, offline, disabled or null"),
        (["+logger.mode=online", "+logger.offline=true"], "logger.offline=true contradicts logger.mode=online"),
        (["logger.notes=3"], "logger=wandb: notes is 3: Input should be a valid string"),
        (["+logger.config=3"], "logger=wandb: config must be a dict"),
        (["+logger.settings=3"], "logger.settings is 3, expected "),
        (["+logger.settings.init_timout=3"], "init_timout': did you mean logger.settings.init_timeout?"),
        (["+logger.settings.init_timeout=x"], "logger.settings: init_timeout is 'x': Input should be a valid number"),
        (["+logger.settings.mode=offline"], "logger.settings cannot hold 'mode': give logger.mode"),
        (["+logger.settings.run_tags=[a]"], "logger.settings cannot hold 'tags': give logger.tags"),
        (["+logger.settings.api_key=x"], "logger.settings.api_key would be in the config of every run"),
        (["logger=tensorboard", "+logger.flush_sec=3"], "'logger.flush_sec': did you mean logger.flush_secs?"),
        (["logger=tensorboard", "+logger.comment=x"], "unknown key 'logger.comment': "),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(no_key, restore, tmp_path, words, message):
    status, (line,) = restore(*words)
    assert status == 2 and message in line
    assert not list(tmp_path.rglob("*.wandb")) and not list(tmp_path.rglob("records.jsonl"))


def test_arguments_of_both_packages_reach_tensorboard(restore, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = ["+logger.name=night", "+logger.version=3", "+logger.prefix=test", "+logger.filename_suffix=.lab"]
    assert restore("logger=tensorboard", *words) == (0, [])
    (folder,) = tmp_path.rglob("tensorboard/night/version_3")
    assert list(folder.glob("events.*.lab"))
    assert any(name.startswith("test-") for name in reader.EventAccumulator(str(folder)).Reload().Tags()["scalars"])
