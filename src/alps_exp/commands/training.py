"""What the training verbs share: a run folder around a resumable Lightning fit, and the weights it leaves."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import nn

from alps_exp.commands.checkpoints import Checkpointing
from alps_exp.commands.job import Job
from alps_exp.commands.recreate import FLAG
from alps_exp.commands.trainer import log_config, open_trainer
from alps_exp.data import ImageDataModule, image_shape
from alps_exp.distillation.training import DenoisingTraining
from alps_exp.priors.checkpoint import describe, save_model, write_card
from alps_exp.runs import Provenance, collect_provenance, file_hash

LAST = Path("checkpoints") / "last.ckpt"


def index_hash(dataset: Any) -> str:
    """Return the SHA-256 of a dataset's index: a line for each image."""
    return hashlib.sha256("\n".join(dataset.index).encode()).hexdigest()


def train(
    job: Job,
    module: DenoisingTraining,
    kind: str,
    data: ImageDataModule,
    trainer: DictConfig,
    logger: DictConfig | None,
    weights: str,
    licence: str,
    resume_anyway: bool,
    checkpoint_minutes: float,
    compiled: nn.Module | None,
    checkpoints: dict[str, Path] | None = None,
) -> int:
    """Fit `module` in this job's run folder, going on from its last checkpoint, and write weights and card.

    The weights are the exponential moving average, which Lightning's callback leaves in the module at the end. The
    network `compiled` is compiled in place, which renames none of its weights.
    """
    folder = job.folder
    data.setup("fit")
    if compiled is not None:
        compiled.compile()

    def provenance(device: str = "") -> Provenance:
        return collect_provenance(
            seeds={"seed": module.seed},
            device=device,
            checkpoints=checkpoints,
            data_hash=index_hash(data.train),
        )

    if job.is_done(provenance, resume_anyway):
        return 0
    with open_trainer(job, trainer, logger, [_checkpointing(folder.path, checkpoint_minutes, trainer)]) as loop:
        if not loop.is_global_zero:
            loop.fit(module, data, ckpt_path=_last_checkpoint(folder.path))
            return 0
        with folder.lock():
            start = provenance(str(loop.strategy.root_device))
            job.begin(start, resume_anyway)
            log_config(job, loop)
            loop.fit(module, data, ckpt_path=_last_checkpoint(folder.path))
            if loop.interrupted or loop.global_step < loop.max_steps:
                print(f"stopped at step {loop.global_step} of {loop.max_steps}; {_resume_point(folder.path)}")
                return 1
            path = folder.path / f"{kind}.safetensors"
            save_model(path, module.network, kind, getattr(torch, weights))
            _write_training_card(path, kind, module, loop, start.code, data, licence, job)
            folder.mark_done()
    print(path)
    return 0


def _checkpointing(folder: Path, minutes: float, trainer: DictConfig) -> Checkpointing:
    plain: Any = OmegaConf.to_container(trainer, resolve=True)
    return Checkpointing(folder / LAST, minutes, plain["max_time"])


def _resume_point(folder: Path) -> str:
    path = _last_checkpoint(folder)
    step = torch.load(path, weights_only=True, map_location="cpu")["global_step"] if path else 0
    return f"the same command goes on from step {step}"


def _last_checkpoint(folder: Path) -> str | None:
    path = folder / LAST
    return str(path) if path.exists() else None


def _write_training_card(
    path: Path,
    kind: str,
    module: DenoisingTraining,
    loop: pl.Trainer,
    code: dict[str, str],
    data: ImageDataModule,
    licence: str,
    job: Job,
) -> None:
    choices = HydraConfig.get().runtime.choices
    source = f"`data={choices['data']}`, " if "data" in choices else ""  # a run that is run again makes no choices
    again = [FLAG, str(job.original.folder.path)] if job.original else []
    images: Any = data.train
    height, width = image_shape(images[0, 0])[1:]
    commit = code.get("commit", code["version"]) + (" with uncommitted changes" if code.get("diff") else "")
    write_card(
        path.with_suffix(".md"),
        f"{choices.get('experiment') or choices.get('data') or job.config.name}: {kind}",
        describe(module.network)
        | {
            "resolution": f"{height} x {width}, {module.network.channels} channels",
            "training data": f"{source}{len(images):,} images",
            "steps": f"{loop.global_step:,}",
            "command": f"`alps {HydraConfig.get().job.name} {shlex.join([*again, *HydraConfig.get().overrides.task])}`",
            "commit": commit,
            "sha256": file_hash(path),
            "validation": ", ".join(
                f"{name.removeprefix('validation/')} {float(value):.3g}"
                for name, value in loop.callback_metrics.items()
                if name.startswith("validation/")
            ),
            "licence": licence,
        },
    )
