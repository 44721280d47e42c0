"""The two latest checkpoints: whichever call a kill hits, the newest whole one is found, and a damaged one is not."""

import os

import pytest

from alps_exp.lightning import checkpoint_files
from alps_exp.lightning.checkpoint_files import CheckpointFiles


@pytest.fixture
def files(tmp_path):
    files = CheckpointFiles(tmp_path)
    for content in (b"first", b"second"):
        files.write(content)
    return files


def newest(files):
    path = files.newest()
    return path and path.read_bytes()


def test_the_last_two_are_there(files, tmp_path):
    assert newest(files) == b"second" and files.previous.read_bytes() == b"first"
    files.write(b"third")
    assert newest(files) == b"third" and files.previous.read_bytes() == b"second"
    assert len(list(files.last.parent.iterdir())) == 3
    assert CheckpointFiles(tmp_path / "empty").newest() is None


@pytest.mark.parametrize("damage", [b"secone", b"secon", b""])
def test_a_damaged_last_one_is_named_and_the_one_before_it_taken(files, caplog, damage):
    files.last.write_bytes(damage)
    assert newest(files) == b"first" and "last.ckpt is damaged" in caplog.text
    files.write(b"third")
    assert newest(files) == b"third" and files.previous.read_bytes() == b"first"


def test_if_both_are_damaged_nothing_is_guessed(files):
    for path in (files.last, files.previous):
        path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="last.ckpt is damaged, and no other one is whole: remove it"):
        files.newest()


def test_checkpoints_without_hashes_are_those_of_earlier_versions(files):
    (files.last.parent / "SHA256").unlink()
    assert newest(files) == b"second"


@pytest.mark.parametrize("kills", range(1, 4))
def test_a_kill_at_any_call_loses_at_most_the_new_one(files, monkeypatch, kills):
    """Kill several writes one after the other, each at another call."""
    calls = {"write": checkpoint_files.write_atomically, "replace": os.replace}
    left = []

    def killed(inner):
        def call(*arguments):
            if not left:
                raise KeyboardInterrupt
            left.pop()
            return inner(*arguments)

        return call

    monkeypatch.setattr(checkpoint_files, "write_atomically", killed(calls["write"]))
    monkeypatch.setattr(checkpoint_files.os, "replace", killed(calls["replace"]))
    for number in range(kills):
        for allowed in range(3):
            left[:] = [None] * allowed
            with pytest.raises(KeyboardInterrupt):
                files.write(b"new %d %d" % (number, allowed))
            assert newest(files) in (b"second", b"first")
    left[:] = [None] * 9
    files.write(b"third")
    assert newest(files) == b"third" and files.newest() == files.last
