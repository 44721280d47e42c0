"""kill -9 at each of the last calls that write a file, and again while the run is resumed: nothing of it is seen."""

import dataclasses
import json
import shutil
import signal
from random import Random

import numpy as np
import processes
import pytest
from safetensors.torch import load_file

from alps_exp.mri.prepared_volume import PreparedVolumeFile
from alps_exp.runs import RunFolder

CALLS = 30
GAUSSIAN = ["energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "operator=inpaint_random"]
GAUSSIAN += ["sampler.schedule.steps=2", "num_samples=3", "logger=none", "trainer.accelerator=cpu", "figures=false"]
NETWORK = ("img_resolution=8", "model_channels=8", "channel_mult=[1]", "num_blocks=1", "attn_resolutions=[]")
TRAINING = ["data=brain", "data.test.size=8", "data.validation=null", "data.batch_size=2", "trainer.max_steps=3"]
TRAINING += ["trainer.enable_progress_bar=false", "logger=none", "trainer.accelerator=cpu", "checkpoint_minutes=0"]


@pytest.fixture
def requests(tmp_path, network):
    """Return what is asked of each verb."""
    from alps_exp.checkpoints import save_model

    save_model(tmp_path / "teacher.safetensors", network(2, size=8), "teacher")
    rng = np.random.default_rng(0)
    (tmp_path / "files").mkdir()
    for name in ("a", "b"):
        y, x = np.mgrid[-1:1:16j, -1:1:16j]
        coils = np.stack([np.exp(-((y - c) ** 2) - x**2) * (y**2 + x**2 < 0.6) for c in (-1, 0, 1, 2)])
        kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(coils, (1, 2)), norm="ortho"), (1, 2))
        noise = rng.standard_normal((2, *kspace.shape)) * 0.01
        np.save(tmp_path / "files" / f"{name}.npy", (kspace + noise[0] + 1j * noise[1]).astype(np.complex64))
    arrays = [f"source={tmp_path / 'files'}", "reader=arrays", "reader.axes=[coil,row,column]", "noise=0.01"]
    teacher = [f"training.network.model.{size}" for size in (*NETWORK, "in_channels=2", "out_channels=2")]
    return {
        "restore": [*GAUSSIAN, "data=prior", "data.test.count=3", "data.batch_size=1", "save=samples"],
        "calibrate": [*GAUSSIAN, "count=3", "data.batch_size=1"],
        "train": [*TRAINING, *teacher],
        "distill": [*TRAINING, "teacher=file", f"teacher.name={tmp_path / 'teacher.safetensors'}"],
        "prepare": [*arrays, "num_workers=1"],
    }


def left_by(verb, root):
    """Return all that a run leaves, but for times, and see that it is whole."""
    (done,) = root.rglob("DONE")
    run = RunFolder(done.parent, verify=True)
    assert run.is_done() and not list(root.rglob("*.tmp")) and not (run.path / "FAILED").exists()
    if verb in ("train", "distill"):
        (weights,) = run.path.glob("*.safetensors")
        card = weights.with_suffix(".md").read_text().splitlines()
        assert load_file(weights)
        return weights.read_bytes(), [row for row in card if not row.startswith(("| minutes |", "| commit |"))]
    if verb == "prepare":
        volumes = sorted(run.path.glob("volumes/*.h5"))
        assert all(len(PreparedVolumeFile(path).slices) == 1 for path in volumes)
        return [path.read_bytes() for path in volumes], (run.path / "index.jsonl").read_bytes()
    images = [run.load_result(path.stem) for path in sorted(run.path.glob("images/*.h5"))]
    records = [dataclasses.replace(record, seconds=None, peak_memory_mib=None) for record in run.records()]
    reports = [json.loads(path.read_text()) | {"seconds": None} for path in run.path.glob("calibration.json")]
    return records, [image.estimates["mmse"].tobytes() for image in images], reports


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["restore", "calibrate", "train", "distill", "prepare"])
def test_a_run_killed_at_any_of_its_last_calls_and_once_more_leaves_what_an_undisturbed_one_leaves(
    requests, tmp_path, verb
):
    root, log, moments = tmp_path / "out", tmp_path / "log", Random(verb)
    where = f"output={root}" if verb == "prepare" else f"output_root={root}"

    def run(call):
        process = processes.start(log, verb, *requests[verb], where, file_calls=(root, call))
        process.join()
        return process.exitcode

    assert run(None) == 0, log.read_text()
    calls, expected = int(root.with_suffix(".calls").read_text()), left_by(verb, root)
    assert calls >= CALLS
    for call in range(calls - CALLS + 1, calls + 1):
        shutil.rmtree(root)
        assert run(call) == -signal.SIGKILL, log.read_text()
        assert run(moments.randint(1, CALLS)) in (0, -signal.SIGKILL), log.read_text()
        assert run(0) == 0, log.read_text()
        assert left_by(verb, root) == expected, call
