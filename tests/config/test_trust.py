"""What a config from a run folder may name, and what is imported before that is known."""

import sys

import pytest
from omegaconf import OmegaConf

from alps_exp.config.folder import config_folder
from alps_exp.config.trust import check_trust

FOREIGN = [
    "torch.utils.collect_env.run",
    "os.system",
    "builtins.eval",
    "hydra.utils.get_method",
    "hydra.utils.instantiate",
    "functools.partial",
    "numpy.load",
    "pandas.read_pickle",
    "pytorch_lightning.callbacks.ModelCheckpoint",
    "pytorch_lightning.Trainer.fit",
    "pytorch_lightning.trainer.Trainer",
    "alps_exp",
    "alps_exp.datasets",
    "alps_exp.datasets.",
    "alps_exp.datasets.__loader__",
    "alps_exp.datasets.image_folder.os.system",
    "alps_exp.datasets.ImageFolder.__init__",
    "alps_exp.lightning.loggers.wandb.init",
    "alps_exp.cli.main.main",
    "alps_exp.runs.provenance._git",
    "alps_exp.runs.provenance.subprocess.run",
    "alps_exp.files.write_atomically",
    "alps_exp.checkpoints.safetensors_file.torch.load",
    "alps_exp.checkpoints.model_card.write_card",
    "alps_exp.checkpoints.save_model",
    "alps_experiment.Thing",
    "hydra_plugins.alps_exp_launchers.subprocess.run",
    "",
    None,
    ["os.system"],
    {"_target_": "os.system"},
]


@pytest.mark.parametrize("target", FOREIGN)
def test_a_foreign_target_is_refused(target):
    with pytest.raises(ValueError, match="energy._target_="):
        check_trust({"energy": {"_target_": target}}, [], "RUN")


@pytest.mark.parametrize(
    "node",
    [
        {"a": [{"b": [[{"_target_": "os.system"}]]}]},
        {"_target_": "alps_exp.samplers.ALPS", "_args_": [{"_target_": "os.system", "_partial_": True}]},
        {"_target_": "alps_exp.samplers.ALPS", "_recursive_": False, "schedule": {"_target_": "os.system"}},
        {"_target_": "alps_exp.samplers.ALPS", 5: {"_target_": "os.system"}},
    ],
)
def test_a_foreign_target_is_found_wherever_it_stands(node):
    with pytest.raises(ValueError, match="_target_=os.system"):
        check_trust(node, [], "config")


def test_every_shipped_config_can_be_run_again():
    folder = config_folder()
    files = [path for path in folder.rglob("*.yaml") if path.relative_to(folder).parts[0] not in ("logger", "hydra")]
    nodes = [OmegaConf.to_container(OmegaConf.load(path)) for path in files]
    assert sum("_target_" in node for node in nodes) > 50
    for node in nodes:
        check_trust(node, [], "config")


def test_nothing_is_imported_of_a_package_that_is_not_trusted(tmp_path, monkeypatch):
    (tmp_path / "trusted_lab").mkdir()
    (tmp_path / "trusted_lab" / "__init__.py").write_text("import os\nfrom os import system\nclass Energy: ...\n")
    (tmp_path / "trusted_lab_2.py").write_text("class Energy: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    for trusted in ([], ["other"], ["trusted"], [""], ["trusted_lab.sub"], ["trusted_lab_2"]):
        with pytest.raises(ValueError, match="_target_=trusted_lab.Energy"):
            check_trust({"_target_": "trusted_lab.Energy"}, trusted, "config")
    assert "trusted_lab" not in sys.modules
    check_trust({"_target_": "trusted_lab.Energy"}, ["other", "trusted_lab"], "config")
    for through in ("trusted_lab.os.system", "trusted_lab.system", "trusted_lab_2.Energy", "trusted_lab:os.system"):
        with pytest.raises(ValueError, match=f"_target_={through}"):
            check_trust({"_target_": through}, ["trusted_lab"], "config")
    assert "trusted_lab_2" not in sys.modules
