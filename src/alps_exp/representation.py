"""Objects as what made them: the `repr` of operators and samplers, and settings in the form of a config."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor


class ShowsItsArguments:
    """Mixin whose `repr` is the constructor call, with every argument that is kept as an attribute of its name."""

    def __repr__(self) -> str:
        names = [name for name in inspect.signature(type(self).__init__).parameters if name in vars(self)]
        arguments = ", ".join(f"{name}={_shown(getattr(self, name))}" for name in names)
        return f"{type(self).__name__}({arguments})"


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"<{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}>"
    return repr(value)


def as_settings(value: object) -> object:
    """Return an object as nested plain settings, in the form of a config: its class and what it was made of.

    Tensors and arrays become texts with a hash of their numbers, so that equal settings mean equal objects.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | Tensor):
        array = np.ascontiguousarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        return f"{' x '.join(map(str, array.shape))} {array.dtype}, sha256 {digest}"
    if isinstance(value, Mapping):
        return {str(name): as_settings(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [as_settings(item) for item in value]
    if isinstance(value, partial):
        return {"_target_": _full_name(value.func), **{name: as_settings(v) for name, v in value.keywords.items()}}
    if isinstance(value, Path):
        return str(value)
    if inspect.isroutine(value):
        return _full_name(value)
    names = [name for name in inspect.signature(type(value).__init__).parameters if name in vars(value)]
    return {"_target_": _full_name(type(value)), **{name: as_settings(getattr(value, name)) for name in names}}


def _full_name(thing: Callable[..., object]) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
