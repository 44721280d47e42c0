"""File helpers: atomic writes, safe file names, hashes and checksums, recursive listing, and HDF5 without locks."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

import h5py
import numpy as np

MAX_BYTES = 240  # of the 255 that file systems allow a name; `write_atomically` needs the rest


def file_name(name: str, suffix: str) -> str:
    """Return a valid and unique file name for a name chosen by a user.

    ASCII characters with a meaning in paths or shells are percent-encoded; a name that is too long is cut and gets a
    hash at its end. Different names give different file names.
    """
    safe = "".join(c if ord(c) > 127 and c.isprintable() else quote(c, safe=" ") for c in name)
    if len(os.fsencode(safe + suffix)) > MAX_BYTES:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        start = os.fsencode(safe)[: MAX_BYTES - len(f"~{digest}{suffix}")]
        safe = f"{start.decode(errors='ignore')}~{digest}"
    return safe + suffix


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers always find the old or the new content, even after a crash or a power failure.

    Missing parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic only within a file system. The process id keeps writers apart.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # without it, the renamed file can be empty after a power failure
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Make a rename in the folder durable: the entry of a file is stored in its folder, not in the file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def checksum(array: np.ndarray) -> str:
    """Return 16 hexadecimal digits that depend on the type, the shape and every bit of an array."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def text_checksum(text: str) -> str:
    """Return 16 hexadecimal digits that depend on every character of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, without HDF5's locks, which some file systems of clusters lack.

    Nothing here needs them: files are replaced as a whole, never changed in place.
    """
    return h5py.File(path, "r", locking=False)


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and its sub-folders, following links to folders.

    Each folder is listed once, no matter how many links lead to it, and under its own name if it is also reached
    without a link. Cyclic links therefore end.
    """
    found: list[Path] = []
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        for parent, folders, files in os.walk(waiting.pop(0)):
            if (real := os.path.realpath(parent)) in seen:
                folders.clear()
                continue
            seen.add(real)
            found += [path for name in files if (path := Path(parent, name)).is_file()]
            waiting += [path for name in sorted(folders) if (path := Path(parent, name)).is_symlink()]
    return found
