"""The `repr` of operators and samplers: the call that makes them."""

from __future__ import annotations

import inspect

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
