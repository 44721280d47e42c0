"""Packages that only some requests need."""

import json.decoder
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from alps_exp.packages import require

MISSING = ("wandb", "sigpy", "nilearn", "nibabel", "skimage", "deepinv")
PROGRAM = f"""
import json, sys
sys.modules.update(dict.fromkeys({MISSING}))  # as if they were not installed
from alps_exp.cli.main import main
for request in json.loads(sys.stdin.read()):
    sys.argv = ["alps", *request]
    try:
        main()
    except SystemExit as stop:
        print("status", stop.code, file=sys.stderr, flush=True)
"""


def test_a_module_that_is_there_is_returned():
    assert require("json.decoder", "this", "python") is json.decoder


@pytest.mark.parametrize("folder", [False, True], ids=["nothing", "a-folder-of-that-name"])
def test_a_missing_package_is_named_with_its_cure(folder, tmp_path, monkeypatch):
    if folder:
        (tmp_path / "absent_package").mkdir()
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="the thing.*absent_package.*'alps_exp\\[more\\]'"):
        require("absent_package.part", "the thing", "'alps_exp[more]'")


@pytest.mark.slow
def test_requests_that_do_not_need_them_run_without_and_the_others_say_which(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    images = ["data=folder", *(f"data.{part}.path={tmp_path / 'images'}" for part in ("train", "test"))]
    common = ["data.test.size=16", "trainer.accelerator=cpu", f"output_root={tmp_path / 'out'}"]
    network = ["model_channels=16", "channel_mult=[1]", "num_blocks=1", "attn_resolutions=[]", "img_resolution=16"]
    small = [f"training.network.model.{size}" for size in network]
    training = ["train", *images, *common, *small, "data.validation=null", "data.batch_size=2", "trainer.max_steps=2"]
    restore = [
        "restore",
        *common,
        "energy=gaussian",
        "energy.channels=3",
        "num_samples=2",
        "logger=none",
        "figures=false",
    ]
    requests = [
        [*restore, *images, "sampler.schedule.steps=2"],
        [*training, "logger=csv"],
        [*restore, *images, "logger=wandb"],
        [*restore, *images, "sampler=l1_wavelet"],
        [*restore, "data=astronaut"],
    ]
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(requests), capture_output=True, text=True)
    lines = [output.strip().splitlines() for output in done.stderr.split("status ")]
    statuses = [int(text[0]) for text in lines[1:]]
    assert statuses == [0, 0, 2, 2, 2], done.stdout + done.stderr
    for missing, text in zip(("wandb", "sigpy", "skimage"), lines[2:5], strict=True):
        assert f"needs the package {missing}: pip install" in text[-1]
