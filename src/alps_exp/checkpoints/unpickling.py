"""Reads pickles from other projects as data: tensors, arrays, class names and constructor arguments, but no code."""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from torch import Tensor

from alps_exp.errors import one_line

NUMBERS = ("b1", "i4", "i8", "f4", "f8")
"""NumPy number types that occur in such pickles."""
PLAIN_OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT"
    " SHORT_BINBYTES BINBYTES BINBYTES8 SHORT_BINSTRING BINSTRING SHORT_BINUNICODE BINUNICODE BINUNICODE8"
    " EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE"
    " EMPTY_LIST APPEND APPENDS EMPTY_DICT EMPTY_SET BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL"
).split()
"""Instructions left to Python's own unpickler: they create plain values and empty containers, and look up names."""
COUNTED = (
    "MARK EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE EMPTY_LIST EMPTY_DICT EMPTY_SET BINPUT LONG_BINPUT MEMOIZE"
    " REDUCE NEWOBJ"
).split()
"""Instructions of a few bytes that take up hundreds."""
MOST = 2_000_000
"""The largest number of them; a file of ten thousand tensors has about 400,000."""
COST_OF_A_CALL = 4
"""How many more of them a call counts as: a tensor takes up that much."""
MOST_AXES = 64
"""The most axes that a tensor of torch can have."""
ORDERS = ("<", ">", "|", "=")
"""Byte orders of NumPy."""


class StoredObject:
    """An object in the file: class name, constructor arguments and state, exactly as stored."""

    __slots__ = ("arguments", "class_name", "state")

    def __init__(self, class_name: str, arguments: Sequence[object] = (), state: Any = None) -> None:
        self.class_name, self.arguments, self.state = class_name, arguments, state


@dataclass(frozen=True, slots=True)
class KnownName:
    """A global name in the file. It cannot be called or changed by the file; `read` interprets what it would create."""

    name: str
    read: Callable[..., object]


def is_key(value: object) -> bool:
    """Return whether a value can be the key of a dictionary, and be named: a text, or a number of usual length."""
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63)


def _counting(table: dict[int, Callable[[Any], None]]) -> dict[int, Callable[[Any], None]]:
    """Return instructions of `DataUnpickler`, those of `COUNTED` counted and refused beyond `MOST`."""

    def counted(instruction: Callable[[Any], None]) -> Callable[[Any], None]:
        def count(unpickler: DataUnpickler) -> None:
            unpickler.counted += 1
            if unpickler.counted > MOST:
                raise pickle.UnpicklingError(f"it makes more than {MOST:,} containers, references and calls")
            instruction(unpickler)

        return count

    codes = [getattr(pickle, name)[0] for name in COUNTED]
    return table | {code: counted(table[code]) for code in codes}


class DataUnpickler(pickle._Unpickler):
    """Rebuilds numbers, text, containers and tensors; instances of classes become a `StoredObject`.

    Names are looked up only in a table: nothing is imported, and the source code contained in NVlabs' pickles is
    dropped. Instructions that call, create objects, set their state or fill containers are replaced by versions that
    act only on a `KnownName`, a `StoredObject`, or a plain dictionary or set with text or integer keys. All other
    instructions are refused. Python's C unpickler cannot be restricted in this way: its BUILD sets attributes of
    any object that the file puts on the stack.

    Parameters
    ----------
    file
        The pickle.
    room
        Bytes and items that calls may copy, which is the size of the file: each of its bytes is needed only once.
    """

    stack: list[object]

    def __init__(self, file: BufferedIOBase | IO[bytes], room: float = math.inf) -> None:
        super().__init__(file)
        self.room, self.counted = room, 0

    def find_class(self, module: str, name: str) -> KnownName:
        """Return what a name of the file stands for; raises UnpicklingError for any name outside the table."""
        full_name = f"{module}.{name}"
        if full_name not in KNOWN:
            raise pickle.UnpicklingError(
                f"it names the global {full_name}, which weights do not need: save the network's state_dict() alone"
            )
        return KnownName(full_name, KNOWN[full_name])

    def _make(self) -> None:
        """REDUCE and NEWOBJ: call the name below the arguments on the stack."""
        arguments, known = self.stack.pop(), self.stack.pop()
        if not isinstance(known, KnownName) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("it calls something that is not a name")
        self.room -= sum(len(argument) for argument in arguments if isinstance(argument, bytes | list))
        if self.room < 0:
            raise pickle.UnpicklingError("it copies the same data again and again")
        self.counted += COST_OF_A_CALL
        self.stack.append(known.read(*arguments))

    def _set_state(self) -> None:
        """BUILD: set the state of an object."""
        state, stored = self.stack.pop(), self.stack[-1]
        if not isinstance(stored, StoredObject):
            raise pickle.UnpicklingError(f"it sets the state of a {type(stored).__name__}")
        stored.state = state

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def _set_items(self) -> None:
        self._fill(self.pop_mark())  # type: ignore[attr-defined]

    def _fill(self, items: list[object]) -> None:
        keys, values, mapping = items[::2], items[1::2], self.stack[-1]
        if not isinstance(mapping, dict) or not all(map(is_key, keys)):
            raise pickle.UnpicklingError(f"it sets items of a {type(mapping).__name__}, or not by text or number")
        mapping.update(zip(keys, values, strict=True))

    def _add_items(self) -> None:
        texts = _set(self.pop_mark())  # type: ignore[attr-defined]
        if not isinstance(self.stack[-1], set):
            raise pickle.UnpicklingError(f"it adds items to a {type(self.stack[-1]).__name__}")
        self.stack[-1].update(texts)

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("it holds an instruction that data does not need")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = _counting(
        dict.fromkeys(range(256), _refuse)
        | {getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in PLAIN_OPCODES}
        | {
            pickle.REDUCE[0]: _make,
            pickle.NEWOBJ[0]: _make,
            pickle.BUILD[0]: _set_state,
            pickle.SETITEM[0]: _set_item,
            pickle.SETITEMS[0]: _set_items,
            pickle.ADDITEMS[0]: _add_items,
        }
    )


def _persistent(description: Mapping[str, object]) -> StoredObject:
    class_name = description["class_name"]
    if not isinstance(class_name, str):
        raise pickle.UnpicklingError(f"the name of a class is a {type(class_name).__name__}, expected a text")
    return StoredObject(class_name, state=description["state"])


def _storage(content: bytes) -> Tensor:
    """Return the flat tensor of a storage, which is a nested torch file inside the pickle."""
    from alps_exp.checkpoints.torch_data import read_torch_data  # here, because it is built on this module

    storage = read_torch_data(io.BytesIO(content))
    if not isinstance(storage, Tensor):
        found = storage.class_name if isinstance(storage, StoredObject) else f"a {type(storage).__name__}"
        raise pickle.UnpicklingError(f"expected the storage of a tensor, got {found}")
    return storage


def _tensor(storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *flags: object) -> Tensor:
    """Return a view of a storage. It must not have more elements, or a small file could create huge tensors."""
    if len(size) > MOST_AXES or not all(isinstance(n, int) and 0 <= n < 2**63 for n in (offset, *size, *stride)):
        raise pickle.UnpicklingError(f"a tensor of more than {MOST_AXES} axes, or of sizes that are no numbers")
    if math.prod(size) > storage.numel():
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} is out of bounds for {storage.numel()} elements")
    return storage.as_strided(size, stride, offset)


def _parameter(data: Tensor, *flags: object) -> Tensor:
    return data


def _dictionary() -> dict[str | int, object]:
    return {}


def _set(items: Sequence[object] = ()) -> set[object]:
    if not all(isinstance(item, str) for item in items):
        raise pickle.UnpicklingError("a set has items that are no texts")
    return set(items)


def _stored(class_name: str) -> Callable[..., StoredObject]:
    return lambda *arguments: StoredObject(class_name, arguments)


def _number(kind: StoredObject, content: bytes) -> float:
    number: float = _numbers(kind, content).item()
    return number


def _numbers(kind: StoredObject, content: bytes) -> np.ndarray:
    letters, order = kind.arguments[0], kind.state[1]
    if letters not in NUMBERS or order not in ORDERS:
        raise pickle.UnpicklingError(f"numbers of a type that is none of {', '.join(NUMBERS)}")
    return np.frombuffer(content, f"{order}{letters}")


KNOWN: dict[str, Callable[..., object]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch.nn.modules.container.ModuleDict": _stored("ModuleDict"),
    "torch.nn.modules.container.ModuleList": _stored("ModuleList"),
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.storage._load_from_bytes": _storage,
    "numpy.dtype": _stored("dtype"),
    "numpy.ndarray": _stored("ndarray"),
    "numpy.core.multiarray.scalar": _number,
    "numpy._core.multiarray.scalar": _number,
    "numpy.core.multiarray._reconstruct": _stored("ndarray"),
    "numpy._core.multiarray._reconstruct": _stored("ndarray"),
    "collections.OrderedDict": _dictionary,
    "dnnlib.util.EasyDict": _dictionary,
    "builtins.set": _set,
}
"""How what a name stands for is read."""


CUT_OFF = "its end is missing: copy it again"


def reason_of(error: Exception) -> str:
    """Return what an error says of a file that could not be read."""
    return CUT_OFF if isinstance(error, EOFError | struct.error) else one_line(error)


def read_pickle(path: Path) -> Any:
    """Return what a pickle holds, its objects as `StoredObject`; no code of the file runs.

    Raises
    ------
    ValueError
        If the file names a global outside of the short list of `KNOWN`, is truncated or is no pickle of data.
    """
    try:
        with open(path, "rb") as file:
            return DataUnpickler(file, path.stat().st_size).load()
    except Exception as error:  # a damaged or forged file can raise any
        raise ValueError(f"{path} is refused, as truncated, damaged or unsafe: {reason_of(error)}") from error
