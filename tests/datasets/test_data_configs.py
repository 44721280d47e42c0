"""Every YAML of the data group builds its data module; those with data present give sound images."""

import os
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from alps_exp.lightning import ImageDataModule

CONF = Path(__file__).parents[2] / "conf"
CHOICES = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))
DATA = os.environ.get("ALPS_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="set ALPS_DATA to the folder with the training data")


def build(choice, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose(overrides=[f"+data={choice}", "+energy=gaussian", *overrides]).data)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_builds_without_its_files(choice):
    data = build(choice, "data.root=nowhere")
    assert isinstance(data, ImageDataModule)
    assert data.test is not None and data.root == "nowhere"


def test_one_key_sets_the_size_everywhere():
    data = build("faces", "data.test.size=32")
    assert [d.size for d in (*data.train.datasets, data.validation, data.test)] == [32] * 4


def test_missing_root_is_named():
    with pytest.raises(FileNotFoundError, match="nowhere/faces/ffhq256"):
        build("ffhq", "data.root=nowhere").setup("predict")


@pytest.mark.parametrize(("choice", "channels"), [("astronaut", 3), ("brain", 2)])
def test_embedded_choices_need_no_files(choice, channels):
    pytest.importorskip("nilearn", reason="needs the demo extra")
    data = build(choice, "data.root=nowhere", "data.test.size=16")
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    assert data.test.channels == channels
    assert batch["image"].shape[-2:] == (16, 16) and len(batch["image_id"]) == len(data.test)


@needs_data
def test_validation_faces_are_kept_out_of_training():
    data = build("faces", f"data.root={DATA}")
    data.setup("fit")
    celeba = data.train.datasets[0]
    assert [celeba.files[0][1], celeba.files[-1][1]] == ["000001", "008500"]
    assert [data.validation.files[0][1], data.validation.files[-1][1]] == ["008501", "009000"]
    assert len(data.train) == 8500 + 11350


@needs_data
def test_ffhq_faces_are_box_averages():
    data = build("ffhq", f"data.root={DATA}")
    full = build("ffhq", f"data.root={DATA}", "data.test.size=256")
    assert len(data.test) == 5
    small, large = data.test[0]["image"], full.test[0]["image"]
    blocks = large.reshape(3, 64, 4, 64, 4).mean((2, 4))
    assert (small - blocks).abs().max() <= 2.01 / 255  # one gray level: PIL rounds after each direction


@needs_data
def test_brain_training_mixes_template_and_real_slices():
    data = build("brain_training", f"data.root={DATA}", "data.test.size=16")
    data.setup("fit")
    ids = [data.train[index, index]["image_id"] for index in range(0, len(data.train), 7)]
    share = sum(i.startswith("mni152") for i in ids) / len(ids)
    assert 0.45 < share < 0.55
    assert all(torch.isfinite(data.train[i, i]["image"].abs()).all() for i in (0, len(data.train) - 1))
