"""Reads torch files of other projects as data: their tensors, while nothing else that they hold is ever built."""

from __future__ import annotations

import pickle
import struct
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from io import SEEK_END, BufferedIOBase
from pathlib import PurePosixPath
from typing import Any, ClassVar

import torch
from torch import Tensor

from alps_exp.checkpoints.other_files import OtherFile, what_archive
from alps_exp.checkpoints.unpickling import CUT_OFF, KNOWN, DataUnpickler, KnownName, StoredObject, is_key

READ = (
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch_utils.persistence._reconstruct_persistent_obj",
    "collections.OrderedDict",
    "dnnlib.util.EasyDict",
)
"""Names that are read; whatever else a file names stays a `StoredObject`."""
OLD_MAGIC = 0x1950A86A20F9469CFC6C
"""Number at the beginning of torch files before version 1.6."""
DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class TorchUnpickler(DataUnpickler, ABC):
    """Rebuilds tensors, numbers, text and containers; whatever else a file names stays a `StoredObject`."""

    def find_class(self, module: str, name: str) -> KnownName:
        """Return how to rebuild a tensor, or for any other name a stored object."""
        full_name = f"{module}.{name}"
        known = KNOWN[full_name] if full_name in READ else lambda *arguments: StoredObject(full_name, arguments)
        return KnownName(full_name, known)

    @abstractmethod
    def persistent_load(self, identity: Any) -> Any:
        """Return the flat tensor of a storage, the same for the same key."""

    def _set_state(self) -> None:
        if not isinstance(self.stack[-2], StoredObject):  # torch notes versions on its dictionaries
            self.stack.pop()
            return
        super()._set_state()

    def _fill(self, items: list[object]) -> None:
        if isinstance(self.stack[-1], StoredObject):  # a mapping of a class that is never built
            return
        pairs = zip(items[::2], items[1::2], strict=True)
        super()._fill([part for pair in pairs if is_key(pair[0]) for part in pair])

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = DataUnpickler.dispatch | {
        pickle.BINPERSID[0]: pickle._Unpickler.dispatch[pickle.BINPERSID[0]],
        pickle.BUILD[0]: _set_state,
    }


class ZipUnpickler(TorchUnpickler):
    """Reads a file of torch 1.6 or later, an archive with a file for each storage."""

    def __init__(self, archive: zipfile.ZipFile, pickled: str) -> None:
        super().__init__(archive.open(pickled))
        self.archive, self.folder = archive, PurePosixPath(pickled).parent
        self.storages: dict[str, Tensor] = {}

    def persistent_load(self, identity: Any) -> Tensor:
        _, kind, key, *_ = identity
        name = str(self.folder / "data" / key)
        if name not in self.storages:
            content = self.archive.read(name)
            empty = torch.empty(0, dtype=torch.uint8)
            self.storages[name] = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else empty
        return self.storages[name].view(_dtype(kind))


class OldUnpickler(TorchUnpickler):
    """Reads a file from before torch 1.6, in which the storages follow what they are part of."""

    def __init__(self, file: BufferedIOBase) -> None:
        super().__init__(file)
        here = file.tell()
        self.file, self.left = file, file.seek(0, SEEK_END) - file.seek(here)
        self.storages: dict[str, Tensor] = {}

    def persistent_load(self, identity: Any) -> Any:
        if identity[0] == "module":  # a class, beside its source
            return identity[1]
        _, kind, key, _, numel, view = identity
        if not isinstance(key, str) or not isinstance(numel, int) or view is not None:
            raise pickle.UnpicklingError("a storage is described in another way than torch does")
        if key not in self.storages:
            dtype = _dtype(kind)
            self.left -= numel * dtype.itemsize
            if numel < 0 or self.left < 0:
                raise pickle.UnpicklingError(f"a storage of {numel:.3g} numbers is larger than the file")
            self.storages[key] = torch.empty(numel, dtype=dtype)
        return self.storages[key]

    def load(self) -> Any:
        """Return what the file holds, after the storages were filled."""
        content, keys = super().load(), DataUnpickler(self.file).load()
        if not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(self.storages):
            raise pickle.UnpicklingError("its list of storages does not name those of its tensors")
        for storage in map(self.storages.__getitem__, keys):
            (numel,) = struct.unpack("<q", self.file.read(8))
            if numel != storage.numel() or self.file.readinto(storage.view(torch.uint8).numpy().data) != storage.nbytes:
                raise pickle.UnpicklingError("a storage is shorter or longer than its tensors say: copy it again")
        return content


def _dtype(kind: KnownName) -> torch.dtype:
    name = kind.name.rpartition(".")[2]
    if name not in DTYPES:
        raise pickle.UnpicklingError(f"a {name} is none of {', '.join(DTYPES)}")
    return DTYPES[name]


def read_torch_data(file: BufferedIOBase) -> Any:
    """Return what a torch file holds, an archive or a file from before torch 1.6; no code of it runs.

    Raises
    ------
    Exception
        Of any kind, if the file is damaged or forged.
    """
    is_archive = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    if not is_archive:
        magic, *_ = [DataUnpickler(file).load() for _ in ("magic number", "version", "system")]
        if magic != OLD_MAGIC:
            raise pickle.UnpicklingError("it is no torch file")
        return OldUnpickler(file).load()
    if not zipfile.is_zipfile(file):
        raise pickle.UnpicklingError(CUT_OFF)
    with zipfile.ZipFile(file) as archive:
        pickled = [name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl"]
        if not pickled or "constants.pkl" in {PurePosixPath(name).name for name in archive.namelist()}:
            raise OtherFile(what_archive(archive.namelist()))
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise pickle.UnpicklingError("it is compressed, which torch never does")
        if len(pickled) != 1:
            raise pickle.UnpicklingError(f"it has {len(pickled)} files data.pkl, expected one")
        return ZipUnpickler(archive, pickled[0]).load()
