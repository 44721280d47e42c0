"""Reading files that may come from anybody: nothing outside them, and no more memory than they are worth."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import h5py
import numpy as np

LARGEST_TEXT = 1 << 28  # bytes
LARGEST_MEMBER = 1 << 28
LARGEST_UNSTORED = 1 << 26  # bytes that a dataset may declare beyond `INFLATION` times what is stored
INFLATION = 100


def read_bytes(path: Path, most: int = LARGEST_TEXT) -> bytes:
    """Return the content of a file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no plain file (a pipe would block, a device never end), or larger than `most` bytes.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is no plain file")
    if status.st_size > most:
        raise ValueError(f"{path} has {status.st_size:,} bytes, expected at most {most:,}")
    return path.read_bytes()


def own_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset of an HDF5 file that is stored in this file itself.

    Raises
    ------
    KeyError
        If there is none of that name.
    ValueError
        If it refers to another file, or declares far more than is stored.
    """
    parts = name.strip("/").split("/")
    for path in ("/".join(parts[: end + 1]) for end in range(len(parts))):
        if not isinstance(file.get(path, getlink=True), h5py.HardLink):
            if path not in file:
                raise KeyError(f"no dataset {name!r}")
            raise ValueError(f"{name} is a link, and may lead to another file: copy the data into this one")
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"no dataset {name!r}")
    if found.is_virtual or found.external:
        raise ValueError(f"{name} is stored in another file: copy the data into this one")
    if found.dtype.hasobject and found.size not in (None, 1):
        raise ValueError(f"{name} holds objects, expected numbers")
    _check_storage(name, found)
    return found


def _check_storage(name: str, found: h5py.Dataset) -> None:
    """Raise ValueError if a dataset would take far more memory than its file has bytes for it."""
    stored = found.id.get_storage_size()
    if found.nbytes > LARGEST_UNSTORED + INFLATION * stored:
        raise ValueError(f"{name} declares {found.nbytes:,} bytes, and {stored:,} are stored")
    if found.chunks is None:
        return
    chunk = int(np.prod(found.chunks)) * found.dtype.itemsize
    largest: list[int] = [0]
    found.id.chunk_iter(lambda info: largest.__setitem__(0, max(largest[0], info.size)))
    if largest[0] > 2 * chunk + (1 << 16):
        raise ValueError(f"{name} has a chunk of {largest[0]:,} bytes in place of {chunk:,}")


def read_npy(path: Path) -> np.ndarray:
    """Return the array of a ``.npy`` file, mapped into memory.

    Raises
    ------
    ValueError
        If it is no whole array of numbers.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged header can raise anything
        raise ValueError(f"{path} is no whole .npy file of numbers") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufc":
        raise ValueError(f"{path} is no .npy file of numbers")
    return found


def read_member(archive: zipfile.ZipFile, name: str, most: int = LARGEST_MEMBER) -> bytes:
    """Return the content of a member of a zip archive.

    Raises
    ------
    ValueError
        If it is larger than `most` bytes, encrypted, damaged, or compressed by another method than deflate.
    """
    member = archive.getinfo(name)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed by an unusual method: pack the archive anew, with deflate")
    if member.flag_bits & 1:
        raise ValueError("it is encrypted")
    with archive.open(member) as file:
        content = file.read(most + 1)  # without a number, what is declared small could still unpack without end
    if len(content) > most:
        raise ValueError(f"it unpacks to more than {most:,} bytes")
    return content
