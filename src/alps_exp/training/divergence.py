"""Detects divergence: non-finite numbers end a training before they reach a checkpoint or weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Diverged(ArithmeticError):
    """The loss, the weights or the optimizer state of a training contain a non-finite number."""


def check_state(checkpoint: Mapping[str, Any]) -> None:
    """Check the weights, averaged weights and optimizer state in a checkpoint.

    Raises
    ------
    Diverged
        If one of the numbers is not finite.
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
