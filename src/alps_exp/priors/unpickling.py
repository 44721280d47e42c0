"""Reading of NVlabs' pickles as data: tensors, names and constructor arguments, and no code."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NUMBERS = {"b1": "?", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}
"""Formats of `struct` for the numpy numbers that occur among the attributes of modules."""


class StoredObject:
    """An object of the file, of which only the name of its class and its state are read."""

    class_name = ""
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class NumberType:
    """What the file says of a numpy number: the letters of its type."""

    def __init__(self, letters: str, *arguments: Any) -> None:
        self.letters = letters

    def __setstate__(self, state: Any) -> None:
        pass


class DataUnpickler(pickle.Unpickler):
    """Rebuilds numbers, texts, containers and tensors; what would be an instance of a class becomes a `StoredObject`.

    The names in a file are looked up in a table and nowhere else: nothing is imported, and the source text that
    NVlabs' pickles carry is dropped. What the names stand for are immutable built-in types, inert classes, and
    bound methods, whose attributes a file cannot set.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self._known = {
            "torch_utils.persistence._reconstruct_persistent_obj": self._persistent,
            "torch.nn.modules.container.ModuleDict": StoredObject,
            "torch.nn.modules.container.ModuleList": StoredObject,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch.storage._load_from_bytes": self._storage,
            "numpy.dtype": NumberType,
            "numpy.core.multiarray.scalar": self._number,
            "numpy._core.multiarray.scalar": self._number,
            "collections.OrderedDict": OrderedDict,
            "dnnlib.util.EasyDict": dict,
            "builtins.set": set,
        }

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the file stands for; raises UnpicklingError for any name outside the table."""
        full_name = f"{module}.{name}"
        if full_name not in self._known:
            raise pickle.UnpicklingError(f"it names the global {full_name}, which is not allowed")
        return self._known[full_name]

    def _persistent(self, description: dict[str, Any]) -> StoredObject:
        stored = StoredObject()
        stored.class_name, stored.state = str(description["class_name"]), description["state"]
        return stored

    def _storage(self, content: bytes) -> Tensor:
        """Return the flat tensor of a storage, which is a torch file of its own inside the pickle."""
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(storage, torch.storage.TypedStorage):
            raise pickle.UnpicklingError(f"expected the storage of a tensor, got a {type(storage).__name__}")
        return torch.empty(0, dtype=storage.dtype).set_(storage)  # type: ignore[call-overload]

    def _tensor(self, storage: Tensor, offset: int, size: Any, stride: Any, *flags: Any) -> Tensor:
        return storage.as_strided(size, stride, offset)

    def _parameter(self, data: Tensor, *flags: Any) -> Tensor:
        return data

    def _number(self, kind: NumberType, content: bytes) -> float:
        (number,) = struct.unpack("<" + NUMBERS[kind.letters], content)
        return number


def read_pickle(path: Path) -> Any:
    """Return what a pickle holds, its objects as `StoredObject`; no code of the file runs.

    Raises
    ------
    ValueError
        If the file names a global outside of the short list of `DataUnpickler`, is truncated or is no pickle.
    """
    try:
        with open(path, "rb") as file:
            return DataUnpickler(file).load()
    except Exception as error:  # a damaged or forged file can raise any
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is refused, as truncated, damaged or unsafe: {reason}") from error
