"""kill -9 at random moments: what a run leaves in the end is, bit for bit, what an undisturbed one leaves."""

import json
import random
import shutil
import signal
import time

import numpy as np
import processes
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from alps_exp.checkpoints import save_model
from alps_exp.runs import RunFolder

IMAGES = 12
KILLS = 20


@pytest.fixture
def request_of(tmp_path, network):
    """Return the requests of a restoration and a distillation of tiny images by tiny networks."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{i:02d}.png")
    for kind in ("teacher", "energy"):
        save_model(tmp_path / f"{kind}.safetensors", network(3), kind)
    common = ["data=folder", "data.test.size=16", "logger=none", "trainer.accelerator=cpu", "teacher=file"]
    common += [f"teacher.name={tmp_path / 'teacher.safetensors'}", "data.batch_size=2"]
    restore = ["energy=file", f"energy.name={tmp_path / 'energy.safetensors'}", f"data.test.path={tmp_path / 'images'}"]
    restore += ["sampler.schedule.steps=6", "num_samples=2", "save=samples", "figures=false"]
    training = [f"data.train.path={tmp_path / 'images'}", "trainer.max_steps=10", "trainer.enable_progress_bar=false"]
    distill = [*training, "data.validation=null", "checkpoint_minutes=0"]
    teacher = [*training, "data.train.size=16", "data.validation.size=16", "data.batch_size=2", "data=folder"]
    teacher += [f"data.validation.path={tmp_path / 'images'}", "logger=none", "trainer.accelerator=cpu"]
    sizes = ("img_resolution=16", "model_channels=8", "channel_mult=[1]", "num_blocks=1", "attn_resolutions=[]")
    teacher += [f"training.network.model.{size}" for size in sizes]
    return {
        "restore": ["restore", *common, *restore],
        "distill": ["distill", *common, *distill],
        "train": ["train", *teacher],
    }


def finish(folder, request, root):
    process = processes.start(folder / "log", *request, f"output_root={root}")
    process.join()
    assert process.exitcode == 0, (folder / "log").read_text()


def killed(folder, request, kills, whole, left_by, seed=0):
    """Run the request, kill it at random moments of its life, and run it to its end; return where it wrote.

    `whole` is the time in seconds of an undisturbed run, and `left_by` checks what a kill left and returns what of it
    the next start must not touch.
    """
    moments = random.Random(seed)
    root, kept = folder / "killed", {}
    while kills:
        process = processes.start(folder / "log", *request, f"output_root={root}")
        process.join(moments.uniform(0, whole))
        if process.exitcode is None:
            process.kill()
            process.join()
            kills -= 1
        else:
            assert process.exitcode == 0, (folder / "log").read_text()
            shutil.rmtree(root)  # it ended before it was killed: another one is
            kept = {}
            continue
        left = left_by(root)
        assert kept.items() <= left.items()
        kept = left
    finish(folder, request, root)
    assert kept.items() <= left_by(root).items()
    return root


def undisturbed(folder, request):
    """Run the request; return where it wrote, and in how many seconds."""
    finish(folder, ["--version"], folder)  # starts the process that the others are forked from
    start = time.monotonic()
    finish(folder, request, folder / "undisturbed")
    return folder / "undisturbed", time.monotonic() - start


def images_of(root):
    """Read every image's file; return when it was written."""
    files = list(root.rglob("images/*.h5"))
    for file in files:
        assert RunFolder(file.parents[1]).finished(file.stem)
    return {file.name: file.stat().st_mtime_ns for file in files}


def records_of(root):
    (path,) = root.rglob("records.jsonl")
    return [json.loads(line) | {"seconds": None, "peak_memory_mib": None} for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_restore_killed_at_random_moments_leaves_the_same_records_and_samples(request_of, tmp_path):
    calm, seconds = undisturbed(tmp_path, request_of["restore"])
    stormy = killed(tmp_path, request_of["restore"], KILLS, seconds, images_of)
    records = records_of(stormy)
    assert records == records_of(calm) and len(records) == 3 * IMAGES
    for one, other in zip(sorted(calm.rglob("*.h5")), sorted(stormy.rglob("*.h5")), strict=True):
        results = [RunFolder(file.parents[1]).load_result(file.stem) for file in (one, other)]
        assert np.array_equal(results[0].samples, results[1].samples)
    assert not list(stormy.rglob("*.tmp"))


def checkpoint_of(root):
    """Read the checkpoint; nothing of it is to stay, since the next step replaces it."""
    for file in root.rglob("*.ckpt"):
        assert torch.load(file, weights_only=True)["global_step"] > 0
    return {}


@pytest.mark.slow
def test_a_distillation_killed_at_random_moments_leaves_the_same_weights(request_of, tmp_path):
    calm, seconds = undisturbed(tmp_path, request_of["distill"])
    stormy = killed(tmp_path, request_of["distill"], KILLS, seconds, checkpoint_of)
    (one,), (other,) = (list(root.rglob("energy.safetensors")) for root in (calm, stormy))
    weights, expected = load_file(other), load_file(one)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    assert not list(stormy.rglob("*.tmp"))


AT_THE_END = {
    "fit": "pytorch_lightning.loops.fit_loop._FitLoop.on_run_end",
    "validation": "alps_exp.cli.training.Fit._validate",
    "weights": "alps_exp.cli.training.save_model",
    "card": "alps_exp.cli.training.write_training_card",
    "DONE": "alps_exp.runs.folder.RunFolder.mark_done",
}
ALWAYS = ("card",)


@pytest.mark.parametrize("verb", ["distill", pytest.param("train", marks=pytest.mark.slow)])
@pytest.mark.parametrize("before", [x if x in ALWAYS else pytest.param(x, marks=pytest.mark.slow) for x in AT_THE_END])
def test_a_training_killed_between_its_last_step_and_done_leaves_the_same_weights(request_of, tmp_path, before, verb):
    """The last checkpoint is there; what is left is done without another step."""
    request, root = [*request_of[verb], "checkpoint_minutes=60"], tmp_path / "out"
    finish(tmp_path, request, root)
    calm = results_of(root)
    shutil.rmtree(root)
    process = processes.start(tmp_path / "log", *request, f"output_root={root}", killed_at=AT_THE_END[before])
    process.join()
    assert process.exitcode == -signal.SIGKILL and not list(root.rglob("DONE"))
    (checkpoint,) = root.rglob("last.ckpt")
    written = checkpoint.stat().st_mtime_ns
    finish(tmp_path, request, root)
    assert results_of(root) == calm and checkpoint.stat().st_mtime_ns == written
    assert len(list(root.rglob("DONE"))) == 1 and not list(root.rglob("*.tmp"))


def results_of(root):
    """Return the weights' bytes and the card but for the time, and see that the weights are the averaged ones."""
    (weights,), (checkpoint,) = root.rglob("*.safetensors"), root.rglob("last.ckpt")
    state = torch.load(checkpoint, weights_only=True)
    for name, value in load_file(weights).items():
        assert torch.equal(value, state["state_dict"][f"network.{name}"])
    card = weights.with_suffix(".md").read_text().splitlines()
    return weights.read_bytes(), [row for row in card if not row.startswith("| minutes |")]
