"""What the training verbs share: a run folder around a resumable Lightning fit, and the weights it leaves."""

from __future__ import annotations

import shlex
from collections.abc import Sized
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.data import ImageDataModule
from alps_exp.distillation.training import DenoisingTraining
from alps_exp.priors.checkpoint import save_model, write_card
from alps_exp.runs import RunFolder, collect_provenance, file_hash


def run_folder() -> RunFolder:
    """Return the folder of this job."""
    return RunFolder(HydraConfig.get().runtime.output_dir)


def train(
    module: DenoisingTraining,
    kind: str,
    data: ImageDataModule,
    trainer: DictConfig,
    logger: DictConfig | None,
    weights: str,
    licence: str,
    checkpoints: dict[str, Path] | None = None,
) -> int:
    """Fit `module` in this job's run folder, going on from its last checkpoint, and write weights and card.

    The weights are the exponential moving average, which Lightning's callback leaves in the module at the end.
    """
    folder = run_folder()
    if folder.is_done():
        print(f"{folder.path} is done already")
        return 0
    loop = instantiate(trainer, logger=instantiate(logger) if logger else False, default_root_dir=str(folder.path))
    if not loop.is_global_zero:
        loop.fit(module, data, ckpt_path=_last_checkpoint(folder.path))
        return 0
    with folder.lock():
        provenance = collect_provenance(
            seeds={"seed": module.seed}, device=str(loop.strategy.root_device), checkpoints=checkpoints
        )
        folder.begin(provenance)
        loop.fit(module, data, ckpt_path=_last_checkpoint(folder.path))
        if loop.interrupted or loop.global_step < loop.max_steps:
            print(f"stopped at step {loop.global_step} of {loop.max_steps}; the same command goes on from there")
            return 1
        path = folder.path / f"{kind}.safetensors"
        save_model(path, module.network, kind, getattr(torch, weights))
        _write_training_card(path, kind, module, loop, provenance.code, data, licence)
        folder.mark_done()
    print(path)
    return 0


def _last_checkpoint(folder: Path) -> str | None:
    path = folder / "checkpoints" / "last.ckpt"
    return str(path) if path.exists() else None


def _write_training_card(
    path: Path,
    kind: str,
    module: DenoisingTraining,
    loop: pl.Trainer,
    code: dict[str, str],
    data: ImageDataModule,
    licence: str,
) -> None:
    choices = HydraConfig.get().runtime.choices
    commit = code.get("commit", code["version"]) + (" with uncommitted changes" if code.get("diff") else "")
    arguments = ", ".join(f"{name} {value}" for name, value in module.network.model.arguments.items())
    write_card(
        path.with_suffix(".md"),
        f"{choices.get('experiment') or choices['data']}: {kind}",
        {
            "architecture": f"EDM preconditioning, sigma_data {module.network.sigma_data}; SongUNet, {arguments}",
            "parameters": f"{sum(p.numel() for p in module.network.parameters()):,}",
            "training data": f"`data={choices['data']}`, {len(cast(Sized, data.train)):,} images",
            "steps": f"{loop.global_step:,}",
            "command": f"`alps {HydraConfig.get().job.name} {shlex.join(HydraConfig.get().overrides.task)}`",
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
