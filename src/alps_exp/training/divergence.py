"""Numbers that are not finite end a training, before they stand in a checkpoint or in weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Diverged(ArithmeticError):
    """A training's loss, weights or optimizer have a number that is not finite."""


def check_state(checkpoint: Mapping[str, Any]) -> None:
    """Check weights, averaged weights and the state of the optimizer in a checkpoint.

    Raises
    ------
    Diverged
        If a number of them is not finite.
    """
    adam = [own for state in checkpoint["optimizer_states"] for own in state["state"].values()]
    parts = [
        ("weight", checkpoint.get("current_model_state", checkpoint["state_dict"])),
        ("averaged weight", checkpoint["state_dict"]),
        *(("moment", moments) for moments in adam),
    ]
    for part, tensors in parts:
        for name, x in tensors.items():
            if isinstance(x, Tensor) and x.is_floating_point() and not x.isfinite().all():
                raise Diverged(f"the {part} {name} is not finite after step {checkpoint['global_step']}")
