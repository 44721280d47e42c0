"""The command line in this process, and small random models that requests name."""

import sys
from contextlib import contextmanager

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from alps_exp.checkpoints import save_model
from alps_exp.cli import main as command
from alps_exp.lightning import loggers
from alps_exp.lightning.checkpointing import Checkpointing

NETWORK = "training.network.model"
SMALL = ["img_resolution=8", "model_channels=8", "channel_mult=[1]", "num_blocks=1", "attn_resolutions=[]"]


@pytest.fixture
def drawn():
    """Have figures drawn, which is half the time of a small run."""


@pytest.fixture(autouse=True)
def figures(request, monkeypatch):
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", lambda self, buffer, **_: buffer.write(b"not drawn"))


@pytest.fixture
def models(tmp_path, network):
    """Return the request for small random models."""
    for kind in ("teacher", "energy"):
        save_model(tmp_path / f"small-{kind}.safetensors", network(3), kind)
    names = [f"{kind}.name={tmp_path / f'small-{kind}.safetensors'}" for kind in ("teacher", "energy")]
    return ["teacher=file", "energy=file", *names]


@pytest.fixture
def breaking(monkeypatch):
    """Return a context in which a training that writes a checkpoint at every step breaks off after one more step."""

    def broken(self, trainer, *arguments):
        write(self, trainer, *arguments)
        raise RuntimeError(f"broken off after step {trainer.global_step}")

    @contextmanager
    def context():
        with monkeypatch.context() as patch:
            patch.setattr(Checkpointing, "on_train_batch_end", broken)
            yield ["checkpoint_minutes=0"]

    write = Checkpointing.on_train_batch_end
    return context


@pytest.fixture
def alps(monkeypatch, capsys):
    """Return what runs the command line in this process: exit status, standard output and standard error."""

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["alps", *arguments])
        with pytest.raises(SystemExit) as stop:
            command.main()
        streams = capsys.readouterr()
        return stop.value.code, streams.out, streams.err

    return run


@pytest.fixture
def teach(alps, tmp_path):
    """Return what trains a tiny teacher on tiny images: exit status, output and errors."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{i}.png")
    data = ["data=folder", "data.train.size=8", "data.validation.size=8", "data.batch_size=2"]
    data += [f"data.{part}.path={images}" for part in ("train", "validation")]
    quiet = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "logger=none"]
    request = ["train", *data, *[f"{NETWORK}.{size}" for size in SMALL], *quiet, "ema_decay=0.5"]

    def run(*arguments, root="out"):
        return alps(*request, *arguments, f"output_root={tmp_path / root}")

    return run


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("INIT_TIMEOUT", "FINISH_TIMEOUT"):  # a busy machine must not cut short what is read here
        monkeypatch.setattr(loggers, name, 120)
    return monkeypatch
