"""Weights & Biases with and without a key."""

import os
import socket
import threading
from pathlib import Path

import pytest
import wandb

from alps_exp.lightning import loggers


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(loggers, "_sweep", lambda: "a sweep")
    return monkeypatch


def test_a_key_is_found_in_the_environment_or_for_the_host_in_netrc(no_key, tmp_path):
    lab, public = "https://wandb.example.org:8080", "https://api.wandb.ai"
    assert not loggers.has_key(lab)
    (tmp_path / "netrc").write_text("machine wandb.example.org login user password secret\n")
    assert loggers.has_key(lab) and not loggers.has_key(public)
    no_key.setenv("WANDB_API_KEY", "secret")
    assert loggers.has_key(public)


def test_the_environment_can_ask_for_nothing_at_all(no_key, tmp_path):
    no_key.setenv("WANDB_MODE", "disabled")
    logger = loggers.wandb_logger("project", str(tmp_path / "run"), "name")
    assert logger.experiment.disabled
    loggers.finish([logger], succeeded=True)
    assert not list(tmp_path.rglob("offline-run-*"))


def test_a_name_that_is_looked_up_in_vain_holds_no_job(no_key, tmp_path):
    no_key.setenv("WANDB_API_KEY", "0" * 40)

    looked_up, ended = threading.Event(), threading.Event()

    def in_vain(*_, **__):
        looked_up.set()
        ended.wait()
        raise socket.gaierror

    no_key.setattr(socket, "getaddrinfo", in_vain)
    try:
        assert loggers.wandb_logger("project", str(tmp_path / "run"), "name")._wandb_init["mode"] == "offline"
        assert looked_up.is_set()
    finally:
        ended.set()


def test_without_a_server_a_run_is_offline_soon_and_is_gone_on_with(no_key, tmp_path, caplog):
    no_key.setenv("WANDB_API_KEY", "0" * 40)
    no_key.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    no_key.setattr(loggers, "INIT_TIMEOUT", 2)
    logger = loggers.wandb_logger("project", str(tmp_path / "run"), "name")
    run = logger.experiment
    assert run.settings.mode == "offline" and run.group == "a sweep"
    assert "does not answer" in caplog.text
    loggers.finish([logger], succeeded=True)
    assert wandb.run is None

    no_key.delenv("WANDB_API_KEY")
    again = loggers.wandb_logger("project", str(tmp_path / "run"), "name")
    assert again.experiment.id == run.id and again.experiment is not run
    loggers.finish([again], succeeded=True)


@pytest.mark.parametrize("content", [b"", b" \n", b"\x00\xff", b"a/b", b"x" * 500])
def test_a_damaged_id_begins_a_new_run_and_says_so(no_key, tmp_path, caplog, content):
    no_key.setenv("WANDB_MODE", "offline")
    (tmp_path / "wandb_id").write_bytes(content)
    logger = loggers.wandb_logger("project", str(tmp_path), "name")
    run_id = logger.experiment.id
    loggers.finish([logger], succeeded=True)
    assert [record.message for record in caplog.records if str(tmp_path / "wandb_id") in record.message]
    assert (tmp_path / "wandb_id").read_text() == run_id
    assert loggers.wandb_logger("project", str(tmp_path), "name")._wandb_init["id"] == run_id


def test_the_id_is_whole_or_not_there(no_key, tmp_path, monkeypatch):
    no_key.setenv("WANDB_MODE", "offline")
    replaced = []
    monkeypatch.setattr(os, "replace", lambda old, new: replaced.append((Path(old).read_text(), Path(new).name)))
    logger = loggers.wandb_logger("project", str(tmp_path), "name")
    run_id = logger.experiment.id
    loggers.finish([logger], succeeded=True)
    assert (run_id, "wandb_id") in replaced and not (tmp_path / "wandb_id").exists()
