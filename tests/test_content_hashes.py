"""Hashes of files are remembered as long as size, time and inode stay, and no longer."""

import json
import os
import time

import pytest

from alps_exp import content_hashes as module
from alps_exp.content_hashes import content_hashes
from alps_exp.files import file_hash


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Return the list of the files that are read; what is known stays in a folder of the test."""
    names = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SETTLED", 0)
    monkeypatch.setattr(module, "file_hash", lambda path: names.append(path.name) or file_hash(path))
    return names


@pytest.fixture
def folder(tmp_path):
    """Return a folder of two files of an hour ago."""
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / name).write_text(name)
        os.utime(tmp_path / "data" / name, (time.time() - 3600,) * 2)
    return tmp_path / "data"


def hashes_of(folder):
    return [file_hash(folder / name) for name in ("a", "b")]


def test_an_unchanged_file_is_read_once(folder, read):
    for _ in range(3):
        assert content_hashes(folder, ["a", "b"]) == hashes_of(folder)
    assert read == ["a", "b"]


@pytest.mark.parametrize("older", [0, 7200])
def test_another_content_of_the_same_size_is_seen_whatever_its_time(folder, read, older):
    before = content_hashes(folder, ["a", "b"])
    (folder / "a").write_text("x")
    os.utime(folder / "a", (time.time() - older,) * 2)
    after = content_hashes(folder, ["a", "b"])
    assert after == hashes_of(folder) and after[0] != before[0] and read == ["a", "b", "a"]


def test_a_file_that_was_moved_into_its_place_is_seen_at_the_same_time_and_size(folder, read):
    content_hashes(folder, ["a", "b"])
    status = (folder / "a").stat()
    (folder / "c").write_text("x")
    os.utime(folder / "c", ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(folder / "c", folder / "a")
    assert content_hashes(folder, ["a", "b"]) == hashes_of(folder)


def test_a_file_that_is_rewritten_in_place_with_its_old_time_is_seen(folder, read):
    content_hashes(folder, ["a", "b"])
    status = (folder / "a").stat()
    (folder / "a").write_text("x")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_hashes(folder, ["a", "b"]) == hashes_of(folder) and read == ["a", "b", "a"]


def test_a_file_that_was_just_written_is_not_remembered(folder, read, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", 60)
    for _ in range(2):
        assert content_hashes(folder, ["a", "b"]) == hashes_of(folder)
    assert read == ["a", "b"] * 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 3}', '{"a": [1, 2]}', "\0"])
def test_what_is_known_may_be_damaged_or_gone(folder, read, tmp_path, damage):
    content_hashes(folder, ["a", "b"])
    (store,) = (tmp_path / "cache").rglob("*.json")
    assert set(json.loads(store.read_text())) == {"a", "b"}
    store.write_text(damage)
    assert content_hashes(folder, ["a", "b"]) == hashes_of(folder)
    assert content_hashes(folder, ["a", "b"]) == hashes_of(folder) and read == ["a", "b"] * 2


def test_without_a_place_to_remember_all_is_read(folder, read, tmp_path):
    (tmp_path / "cache").write_text("a file")
    for _ in range(2):
        assert content_hashes(folder, ["a", "b"]) == hashes_of(folder)
    assert read == ["a", "b"] * 2


def test_a_file_that_cannot_be_read_has_no_hash(folder, read):
    (folder / "b").unlink()
    assert content_hashes(folder, ["a", "b"]) == [file_hash(folder / "a"), None]
