"""The model card of a training: request, budget, what was reached, and the weights that it started from."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig

from alps_exp.checkpoints.checkpoint import Origin
from alps_exp.checkpoints.model_card import describe, write_card
from alps_exp.cli.rerun import FLAG
from alps_exp.cli.words import settings_of
from alps_exp.datasets import image_shape
from alps_exp.files import file_hash
from alps_exp.lightning import ImageDataModule
from alps_exp.runs import Provenance
from alps_exp.runs.job import JobContext
from alps_exp.training.base import DenoisingTraining
from alps_exp.training.budget import Budget, Spent


def facts_of(
    job: JobContext,
    start: Provenance,
    module: DenoisingTraining,
    budget: Budget,
    data: ImageDataModule,
    trainer: pl.Trainer,
) -> dict[str, str]:
    """Return the facts known only to the start that trains. Checkpoints store them for the card."""
    again = [FLAG, str(job.original.folder.path)] if job.original else []
    sizes = (data.batch_size, trainer.world_size, trainer.accumulate_grad_batches)
    code = start.code
    given = {role: f"sha256 {weights['sha256']}" for role, weights in start.checkpoints.items() if role != "start"}
    return given | {
        "learning rate": str(module.optimizer),
        "budget": str(budget),
        "effective batch": "{} images: {} x {} devices x {} batches a step".format(math.prod(sizes), *sizes),
        "precision": str(trainer.precision),
        "device": _device_name(trainer.strategy.root_device),
        "command": f"`alps {HydraConfig.get().job.name} {shlex.join([*again, *settings_of(HydraConfig.get())])}`",
        "commit": code.get("commit", code["version"]) + (" with uncommitted changes" if code.get("diff") else ""),
    }


def write_training_card(
    weights: Path,
    job: JobContext,
    module: DenoisingTraining,
    data: ImageDataModule,
    spent: Spent,
    origins: Sequence[Origin],
    *,
    validation: Mapping[str, float],
    license: str,
) -> None:
    """Write the model card next to the weights."""
    choices = HydraConfig.get().runtime.choices
    source = f"`data={choices['data']}`, " if "data" in choices else ""  # a repeated run has no config choices
    images = data.train
    assert images is not None
    height, width = image_shape(images[0, 0])[1:]
    write_card(
        weights.with_suffix(".md"),
        f"{choices.get('experiment') or choices.get('data') or job.config.name}: {module.kind}",
        describe(module.network)
        | {
            "resolution": f"{height} x {width}, {module.network.channels} channels",
            "training data": f"{source}{len(images):,} images",
            "steps": f"{spent.steps:,}",
            "minutes": f"{spent.seconds / 60:.1f}",
        }
        | _beginning(spent.steps, origins)
        | module.facts
        | {
            "sha256": file_hash(weights),
            "validation": in_words(validation),
            "license": license,
        },
    )


def in_words(numbers: Mapping[str, float]) -> str:
    """Return numbers and their names in one line."""
    return ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())


def _beginning(steps: int, origins: Sequence[Origin]) -> dict[str, str]:
    """Return the chain of weights that a training continues, and the total number of steps."""
    if not origins:
        return {}
    known = [origin.steps for origin in origins if origin.steps is not None]
    unknown = "" if len(known) == len(origins) else ", and those of weights that do not say theirs"
    chain = [f"sha256 {o.sha256} ({'?' if o.steps is None else f'{o.steps:,}'} steps)" for o in origins]
    return {
        "started from": ", from ".join(chain) + "; the rate was warmed up again",
        "steps in all": f"{steps + sum(known):,}{unknown}",
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
