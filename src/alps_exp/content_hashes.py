"""Hashes of many large files, remembered from one start to the next."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from alps_exp.files import file_hash, write_atomically

CACHE = "XDG_CACHE_HOME"
SETTLED = 2.0  # seconds after which a file system's clock tells two writes of a file apart

Entry = tuple[int, int, int, int, str]


def content_hashes(folder: Path, names: Sequence[str]) -> list[str | None]:
    """Return the SHA-256 of files in a folder; None for one that cannot be read.

    A file is read again only if its size, its times or its inode have changed since the last call. What is known is
    kept in ``~/.cache/alps_exp/hashes`` (or ``$XDG_CACHE_HOME``), a file for each folder; where that cannot be written,
    all is read each time.

    Parameters
    ----------
    folder
        The folder.
    names
        Names of files within it.
    """
    store = _store(folder)
    before = _read(store)
    known = {name: entry for name in names if (entry := _entry(folder / name, before.get(name))) is not None}
    if any(before.get(name) != entry for name, entry in known.items()):
        latest = time.time_ns() - SETTLED * 1e9  # the next write of a younger file could have the same time
        _write(store, before | {name: entry for name, entry in known.items() if entry[2] < latest})
    return [known[name][4] if name in known else None for name in names]


def _entry(path: Path, before: Entry | None) -> Entry | None:
    """Return size, times, inode and hash of a file."""
    try:
        status = path.stat()
        # No program can set the time of the last change of the inode, so a time that is set back does not deceive.
        state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        return before if before and before[:4] == state else (*state, file_hash(path))
    except OSError:
        return None


def _store(folder: Path) -> Path:
    root = Path(os.environ.get(CACHE) or Path.home() / ".cache")
    digest = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16]
    return root / "alps_exp" / "hashes" / f"{digest}.json"


def _read(store: Path) -> dict[str, Entry]:
    """Return what is known; nothing if the file is damaged, since all can be found again."""
    try:
        found = json.loads(store.read_bytes())
        return {name: _checked(*entry) for name, entry in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _checked(size: int, mtime_ns: int, ctime_ns: int, inode: int, digest: str) -> Entry:
    return int(size), int(mtime_ns), int(ctime_ns), int(inode), str(digest)


def _write(store: Path, known: dict[str, Entry]) -> None:
    try:
        write_atomically(store, json.dumps(known).encode())
    except OSError:  # a home that cannot be written costs time alone
        return
