"""The command line in this process, and small random models that requests name."""

import sys

import pytest

from alps_exp.commands import main as command
from alps_exp.priors import save_model


@pytest.fixture
def models(tmp_path, network):
    """Return the request for small random models."""
    for kind in ("teacher", "energy"):
        save_model(tmp_path / f"small-{kind}.safetensors", network(3), kind)
    names = [f"{kind}.name={tmp_path / f'small-{kind}.safetensors'}" for kind in ("teacher", "energy")]
    return ["teacher=file", "energy=file", *names]


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
