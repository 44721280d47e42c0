"""The verbs on a GPU: a restoration of the same numbers as on the CPU, and trainings in low precision."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.cuda
SMALL = ["model_channels=16", "channel_mult=[1,2]", "num_blocks=1", "attn_resolutions=[]", "img_resolution=32"]


@pytest.fixture
def faces(tmp_path):
    """Return the request for a folder of three smooth images."""
    (tmp_path / "images").mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(tmp_path / "images" / f"face{i}.png")
    paths = [f"data.{part}.path={tmp_path / 'images'}" for part in ("train", "test")]
    return ["data=folder", *paths, "data.test.size=32", "data.validation=null", "data.batch_size=2", "logger=none"]


@pytest.fixture
def exact():
    """Have the GPU convolve in float32, not TF32, as it multiplies matrices anyway."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def test_a_restoration_has_the_numbers_of_the_cpu(faces, models, alps, tmp_path, gpu, exact):
    def psnrs(accelerator):
        root = tmp_path / accelerator
        request = ["sampler.schedule.steps=5", "num_samples=2", f"trainer.accelerator={accelerator}"]
        status, out, err = alps("restore", *faces, *models, *request, f"output_root={root}")
        assert status == 0, out + err
        (records,) = root.rglob("records.jsonl")
        return [json.loads(line)["psnr"] for line in records.read_text().splitlines()]

    assert psnrs("gpu") == pytest.approx(psnrs("cpu"), abs=1e-3)


@pytest.mark.parametrize("verb", ["train", "distill"])
def test_a_training_runs_in_low_precision(verb, faces, models, alps, tmp_path, gpu):
    small = [f"training.network.model.{size}" for size in SMALL] if verb == "train" else models[:1] + models[2:3]
    request = ["trainer.accelerator=gpu", "trainer.precision=bf16-mixed", "trainer.max_steps=3"]
    request += ["trainer.enable_progress_bar=false", f"output_root={tmp_path / 'out'}"]
    status, out, err = alps(verb, *faces, *small, *request)
    assert status == 0, out + err
    assert len(list((tmp_path / "out").rglob("*.safetensors"))) == 1
