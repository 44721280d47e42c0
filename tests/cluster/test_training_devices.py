"""A training goes on where another number of processes stopped, in low precision, and with a compiled teacher."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from alps_exp.checkpoints import save_model

NEEDS_COMPILER = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
TWO = ["trainer.devices=2", "trainer.strategy=ddp"]
pytestmark = pytest.mark.slow
BREAKS_OFF = """
import os
from alps_exp.lightning.checkpointing import Checkpointing
from alps_exp.cli.main import main

class BreakingOff(Checkpointing):
    def on_train_batch_end(self, trainer, *_):
        trainer.save_checkpoint(self.path)
        os._exit(1)

Checkpointing.on_train_batch_end = BreakingOff.on_train_batch_end
main()
"""


@pytest.fixture(scope="module")
def distil(tmp_path_factory, network):
    """Return what distills a tiny network on tiny images into a folder and gives what it printed."""
    folder = tmp_path_factory.mktemp("distil")
    images = folder / "images"
    images.mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{i}.png")
    teacher = folder / "teacher.safetensors"
    save_model(teacher, network(3), "teacher")
    request = ["data=folder", f"data.train.path={images}", "data.validation=null", "data.batch_size=2"]
    request += ["teacher=file", f"teacher.name={teacher}", "trainer.max_steps=4", "trainer.accelerator=cpu"]
    request += ["distillation.optimizer.warmup_steps=1", "trainer.enable_progress_bar=false", "logger=none"]

    (folder / "breaking.py").write_text(BREAKS_OFF)

    def run(name, *arguments, breaks_off=False):
        command = [str(folder / "breaking.py")] if breaks_off else ["-m", "alps_exp"]
        line = [sys.executable, *command, "distill", *request, f"output_root={folder / name}", *arguments]
        done = subprocess.run(line, capture_output=True, text=True)
        assert (done.returncode != 0) == breaks_off, done.stdout + done.stderr
        return done.stdout

    run.weights = lambda name: load_file(*(folder / name).rglob("energy.safetensors"))
    run.start = load_file(teacher)
    run("plain")
    return run


def distance(one, other):
    """Return the distance of two sets of weights."""
    return sum((one[name] - other[name]).double().square().sum() for name in one).sqrt()


@pytest.mark.parametrize("before, after", [([], TWO), (TWO, [])], ids=["one-two", "two-one"])
def test_a_distillation_goes_on_with_another_number_of_processes(distil, before, after):
    name = f"{len(before)}-{len(after)}"
    distil(name, *before, breaks_off=True)
    distil(name, *after)
    moved = distance(distil.weights("plain"), distil.start)
    assert 0 < distance(distil.weights(name), distil.weights("plain")) < moved  # one step alike, other images and noise


def test_two_processes_that_are_interrupted_give_the_weights_of_two_that_are_not(distil):
    distil("broken", *TWO, breaks_off=True)
    distil("broken", *TWO)
    distil("whole", *TWO)
    weights, expected = distil.weights("broken"), distil.weights("whole")
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    "name, option, bound",
    [
        ("bfloat16", "trainer.precision=bf16-mixed", 0.2),
        pytest.param("compiled", "compile=true", 0.01, marks=NEEDS_COMPILER),
    ],
)
def test_low_precision_and_a_compiled_teacher_give_nearly_the_same_weights(distil, name, option, bound):
    distil(name, option)
    moved = distance(distil.weights("plain"), distil.start)
    assert distance(distil.weights(name), distil.weights("plain")) < bound * moved
