"""`alps teacher`: train an EDM diffusion teacher."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.commands.training import train


def teacher(
    *,
    data: DictConfig,
    training: DictConfig,
    trainer: DictConfig,
    logger: DictConfig | None,
    name: str,
    seed: int,
    weights: str,
    licence: str,
    ema_decay: float,
    output_root: str,
) -> int:
    """Train a teacher and return the exit status."""
    module = instantiate(training)
    return train(module, "teacher", instantiate(data), trainer, logger, weights, licence)
