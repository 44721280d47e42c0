"""The recipes of full-resolution models: what they are on each device, their size, and a step of each."""

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

from alps_exp.checkpoints import save_model
from alps_exp.cli.main import register_device_resolver
from alps_exp.config.folder import config_folder
from alps_exp.lightning import ImageDataModule

RECIPES = ["faces64_full", "brain64_full", "brain128_full"]
LARGEST_FILE = 16 * 2**20
MOST_PARAMETERS = 8_000_000


def recipe(root, name, *overrides):
    """Return the config of a recipe."""
    register_device_resolver()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose(root, [f"experiment={name}", *overrides], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config


class Images(torch.utils.data.Dataset):
    """Smooth images of a recipe's kind, an eighth as wide as its own."""

    def __init__(self, config):
        self.size = config.data.test.size // 8
        self.labels = config.data.train.get("probability") is not None
        self.complex = not self.labels

    def __len__(self):
        return 4

    def __getitem__(self, item):
        index = item[0] if isinstance(item, tuple) else item
        wave = torch.linspace(0, 3 + index, self.size).sin()
        image = wave[:, None] * wave * torch.ones(1 if self.complex else 3, 1, 1)
        labels = {"augment": torch.full((9,), 0.1)} if self.labels else {}
        return {"image": image * (1 + 0.5j) if self.complex else image, "image_id": str(index), **labels}


def step(module, config, precision, folder):
    """Take a step of a training; return whether all weights are finite, and the share of them that it moved."""
    before = [parameter.detach().clone() for parameter in module.network.parameters()]
    trainer = pl.Trainer(
        max_steps=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
        precision=precision,
        default_root_dir=folder,
    )
    trainer.fit(module, ImageDataModule(train=Images(config), batch_size=2))
    after = list(module.network.parameters())
    finite = all(bool(parameter.isfinite().all()) for parameter in after)
    moved = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
    return finite, sum(moved) / len(moved)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_teacher_and_its_energy_of_a_size_to_ship(name, tmp_path):
    path = tmp_path / "teacher.safetensors"
    config = recipe("train", f"{name}_teacher", "trainer.accelerator=cpu")
    network = instantiate(config.training.network)
    assert network.model.patch_size == 1
    assert network.channels == (3 if name.startswith("faces") else 2)
    assert sum(parameter.numel() for parameter in network.parameters()) <= MOST_PARAMETERS
    save_model(path, network, "teacher", getattr(torch, config.weights))
    assert path.stat().st_size <= LARGEST_FILE
    for precision in ("32-true", "bf16-mixed"):
        finite, moved = step(instantiate(config.training), config, precision, tmp_path)
        assert finite and moved > 0.5

    config = recipe("distill", f"{name}_energy", "trainer.accelerator=cpu", f"teacher.name={path}")
    assert config.weights == "float16"
    for precision in ("32-true", "bf16-mixed"):
        finite, moved = step(instantiate(config.distillation), config, precision, tmp_path)
        assert finite and moved > 0.5


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("root, kind", [("train", "teacher"), ("distill", "energy")])
def test_a_recipe_fits_the_device(root, kind, name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def fitted(*overrides):
        config = recipe(root, f"{name}_{kind}", *overrides)
        return config.trainer.precision, config.compile, config.data.batch_size, config.data.num_workers > 0

    on_gpu, on_cpu = fitted(), fitted("trainer.accelerator=cpu")
    assert on_gpu[:2] == ("bf16-mixed", True) and on_cpu[:2] == ("32-true", False)
    assert on_gpu[2] >= 8 * on_cpu[2] and on_gpu[3] and not on_cpu[3]
    assert fitted("data.batch_size=5")[2] == 5
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fitted() == on_cpu and fitted("trainer.accelerator=gpu") == on_gpu


@pytest.mark.parametrize("name", ["brain64_full", "brain128_full"])
def test_the_subject_validates_and_is_never_trained_on(name):
    data = recipe("train", f"{name}_teacher").data
    subject = data.validation.subject.path.rpartition("/")[2]
    assert subject == "pyradiomics_brain1_t1ce.nrrd" and subject not in str(data.train)
    assert data.validation.template.part == "validation"
    sizes = {part.size for part in (*data.train.datasets, *data.validation.values(), data.test)}
    assert sizes == {int(name.removeprefix("brain").removesuffix("_full"))}


def test_faces_are_labeled_and_fit_in_memory():
    data = recipe("train", "faces64_full_teacher").data
    assert data.train._target_ == "alps_exp.datasets.Augmented" and "ffhq256" not in str(data.train)
    train, validation = data.train.dataset.datasets[0].indices, data.validation.indices
    assert train[1] <= validation[0]
    for folder in data.train.dataset.datasets:
        assert not folder.get("flip") and folder.cache_bytes >= 11_350 * (64 * 64 * 3 + 1)
