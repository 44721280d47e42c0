"""Each config is composed once, and a request may still set Hydra's mode."""

from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import OmegaConf

from alps_exp.config.folder import config_folder

TINY = ["restore", "data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12"]
TINY += ["operator=denoise", "logger=none", "figures=false", "sampler.schedule.steps=2", "num_samples=2"]


@pytest.fixture
def composed(monkeypatch):
    """Return the overrides of every composition."""
    calls, compose = [], ConfigLoaderImpl._load_configuration_impl

    def counted(self, *arguments, **settings):
        calls.append(settings.get("overrides", arguments[1:2]))
        return compose(self, *arguments, **settings)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    return calls


@pytest.mark.parametrize(("words", "count"), [([], 1), (["-m", "seed=0,1,2"], 1 + 3)])
def test_a_config_is_composed_once_for_each_job(alps, tmp_path, composed, words, count):
    request = [*TINY, f"output_root={tmp_path}", *words]
    status, _, err = alps(*request)
    assert status == 0, err
    assert len(composed) == count
    configs = [OmegaConf.load(path) for path in Path(tmp_path).rglob("config.yaml")]
    assert sorted(config.seed for config in configs) == [0, 1, 2][: max(1, count - 1)]


def test_a_config_file_is_read_once_for_all_jobs(alps, tmp_path, monkeypatch):
    files, load = [], OmegaConf.load

    def counted(file):
        files.append(getattr(file, "name", file))
        return load(file)

    monkeypatch.setattr(OmegaConf, "load", counted)
    assert alps(*TINY, f"output_root={tmp_path}", "-m", "seed=0,1,2")[0] == 0
    assert str(config_folder() / "sampler" / "alps.yaml") in files
    assert [name for name in files if str(name).startswith(str(config_folder())) and files.count(name) > 1] == []


def test_a_mode_that_the_request_sets_holds(alps, tmp_path):
    request = [*TINY, "dry_run=true", f"output_root={tmp_path}", "hydra/launcher=joblib"]
    status, _, err = alps(*request)
    assert status == 2 and "add -m" in err
    status, out, err = alps(*request, "hydra.mode=MULTIRUN")
    assert status == 0 and "[1/1]" in out, err


def test_no_config_of_this_package_sets_the_mode():
    for path in config_folder().rglob("*.yaml"):
        hydra = OmegaConf.load(path).get("hydra")
        assert not (OmegaConf.is_dict(hydra) and "mode" in hydra), path


def test_what_is_not_kept_is_composed_again(alps, tmp_path, composed, monkeypatch):
    monkeypatch.setattr("alps_exp.cli.composition.MOST_KEPT", 1)
    status, _, err = alps(*TINY, f"output_root={tmp_path}", "-m", "seed=0,1")
    assert status == 0, err
    assert len(composed) == 1 + 1 + 3
