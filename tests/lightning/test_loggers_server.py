"""Servers of Weights & Biases that do not answer, and TensorBoard."""

import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.loggers import CSVLogger

from alps_exp import packages
from alps_exp.lightning import loggers

JOB = """
import sys, time
from alps_exp.lightning import loggers
loggers._sweep = lambda: None
start = time.monotonic()
logger = loggers.wandb_logger("project", sys.argv[1], "name")
logger.log_hyperparams({"a": {"b": 1}})
mode = logger.experiment.settings.mode
logger.log_metrics({"a": 1.0})
loggers.finish([logger], succeeded=True)
print(mode, time.monotonic() - start)
"""


@pytest.mark.slow
@pytest.mark.parametrize("listens", [False, True], ids=["closed", "silent"])
def test_a_server_that_does_not_answer_holds_no_job_for_more_than_ten_seconds(listens, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen(100)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        mode, offline, _ = job(tmp_path / "without a key")
        assert mode == "offline"
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        mode, held, told = job(tmp_path / "with one")
    assert mode == "offline" and "does not answer" in told
    assert held - offline < 10
    assert list(tmp_path.glob("with one/wandb/offline-run-*"))


def job(folder):
    """Run `JOB` in a process of its own; return its mode, seconds and what it told."""
    command = [sys.executable, "-c", JOB, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    mode, seconds = done.stdout.split()
    return mode, float(seconds), done.stderr


def test_a_sweep_has_one_group_however_often_it_is_repeated(monkeypatch):
    from hydra.types import RunMode

    class Config:
        mode = RunMode.MULTIRUN

    monkeypatch.setattr(loggers.HydraConfig, "get", lambda: Config)
    monkeypatch.setattr(sys, "argv", ["alps", "--config-name", "restore", "-m", "seed=0,1"])
    assert loggers._sweep() == "restore seed=0,1"
    names = set()
    for count in (200, 201):
        monkeypatch.setattr(sys, "argv", ["alps", "--config-name", "restore", "-m", "seed=" + "1," * count])
        names.add(loggers._sweep())
    assert len(names) == 2 and {len(name) for name in names} == {128}


def test_tensorboard_takes_metrics_config_and_figures_and_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "figure.png")
    logger = loggers.tensorboard_logger(str(tmp_path / "board"))
    logger.log_hyperparams({"a": {"b": 1}})
    logger.log_metrics({"psnr": 20.0})
    loggers.log_figure(logger, "figure", tmp_path / "figure.png")
    loggers.log_figure(CSVLogger(tmp_path), "figure", tmp_path / "figure.png")  # takes none
    loggers.finish([logger], succeeded=True)
    events = reader.EventAccumulator(str(tmp_path / "board")).Reload()
    assert events.Scalars("psnr")[0].value == 20
    assert (events.Images("figure")[0].height, events.Images("figure")[0].width) == (4, 5)
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package tensorboard"):
        loggers.tensorboard_logger(str(tmp_path))
