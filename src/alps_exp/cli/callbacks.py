"""The callbacks that a request chooses: those of the trainer, and those of a sampler's steps."""

from __future__ import annotations

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from alps_exp.samplers.problem import Callback


def instantiate_callbacks(chosen: DictConfig | None) -> tuple[list[pl.Callback], dict[str, Callback]]:
    """Return the callbacks of Lightning, and those of samplers by name; one that is null is left out.

    Raises
    ------
    ValueError
        If one is neither.
    """
    given = {str(name): one for name, one in (chosen or {}).items() if one is not None}
    made = {
        name: instantiate(one) if OmegaConf.is_dict(one) and "_target_" in one else one for name, one in given.items()
    }
    of_steps = {name: one for name, one in made.items() if not isinstance(one, pl.Callback)}
    for name, one in of_steps.items():
        if not callable(one):
            raise ValueError(f"callbacks.{name} is {one!r}, expected settings whose _target_ is a callback")
    return [one for one in made.values() if isinstance(one, pl.Callback)], of_steps
