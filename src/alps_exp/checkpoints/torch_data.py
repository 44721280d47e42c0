"""Reads torch files of other projects as data: their tensors, while nothing else that they hold is ever built."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import torch
from torch import Tensor

from alps_exp.checkpoints.unpickling import KNOWN, DataUnpickler, KnownName, StoredObject

TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "collections.OrderedDict")
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


class TorchUnpickler(DataUnpickler):
    """Rebuilds tensors, numbers, text and containers; whatever else a file names stays a `StoredObject`."""

    def __init__(self, archive: zipfile.ZipFile, pickled: str) -> None:
        super().__init__(archive.open(pickled))
        self.archive, self.folder = archive, PurePosixPath(pickled).parent

    def find_class(self, module: str, name: str) -> KnownName:
        """Return how to rebuild a tensor, or for any other name a stored object."""
        full_name = f"{module}.{name}"
        known = KNOWN[full_name] if full_name in TENSORS else lambda *arguments: StoredObject(full_name, arguments)
        return KnownName(full_name, known)

    def persistent_load(self, identity: Any) -> Tensor:
        """Return the flat tensor of a storage, which is a file of the archive."""
        _, kind, key, *_ = identity
        name = str(self.folder / "data" / key)
        content = self.archive.read(name)
        dtype = DTYPES[kind.name.rpartition(".")[2]]
        return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)

    def _set_state(self) -> None:
        if not isinstance(self.stack[-2], StoredObject):  # torch notes versions on its dictionaries
            self.stack.pop()
            return
        super()._set_state()

    def _fill(self, items: list[object]) -> None:
        if isinstance(self.stack[-1], StoredObject):  # a mapping of a class that is never built
            return
        pairs = zip(items[::2], items[1::2], strict=True)
        super()._fill([part for pair in pairs if isinstance(pair[0], str | int) for part in pair])

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = DataUnpickler.dispatch | {
        pickle.BINPERSID[0]: pickle._Unpickler.dispatch[pickle.BINPERSID[0]],
        pickle.BUILD[0]: _set_state,
    }


def read_torch_data(path: Path) -> Any:
    """Return what a torch file (of version 1.6 or later) holds; no code of the file runs.

    Raises
    ------
    Exception
        Of any kind, if the file is damaged or forged.
    """
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise pickle.UnpicklingError("it is compressed, which torch never does")
        (pickled,) = [name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl"]
        return TorchUnpickler(archive, pickled).load()
