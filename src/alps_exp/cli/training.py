"""What the training verbs share: a run folder around a resumable Lightning fit, and the weights it leaves."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from alps_exp.checkpoints.checkpoint import History
from alps_exp.checkpoints.safetensors_file import lineage, save_model
from alps_exp.checkpoints.state_dicts import RECORD
from alps_exp.cli.callbacks import instantiate_callbacks
from alps_exp.cli.training_card import facts_of, in_words, write_training_card
from alps_exp.files import file_hash
from alps_exp.lightning import ImageDataModule
from alps_exp.lightning.checkpoint_files import CheckpointFiles
from alps_exp.lightning.checkpointing import Checkpointing
from alps_exp.lightning.throughput import Throughput
from alps_exp.lightning.trainer import log_start, open_trainer
from alps_exp.lightning.wandb_run import log_trained_weights
from alps_exp.runs import DONE, Provenance, RunFolder, collect_provenance
from alps_exp.runs.job import JobContext
from alps_exp.runs.objective import VALIDATION, save_validation
from alps_exp.runs.provenance import index_hash
from alps_exp.training import Budget, Diverged
from alps_exp.training.base import DenoisingTraining
from alps_exp.training.budget import spent_in
from alps_exp.training.divergence import check_state


@dataclass(frozen=True)
class TrainingOptions:
    """Keys that the training verbs share: the form of the weights, their license, averaging, checkpoints, resuming."""

    weights: Literal["float32", "float16"]
    license: str
    ema_decay: float
    checkpoint_minutes: float
    resume_anyway: bool


def run_training(
    job: JobContext,
    module: DenoisingTraining,
    data: ImageDataModule,
    trainer_config: DictConfig,
    logger: DictConfig | None,
    options: TrainingOptions,
    *,
    callbacks: DictConfig | None,
    compiled: nn.Module | None,
    checkpoints: dict[str, Path],
) -> int:
    """Train `module` in this job's run folder until its budget is spent, and write weights and model card.

    The training continues from the run's last checkpoint. The weights are read from the final checkpoint (the averaged
    ones), never from memory, so they are the same no matter where the training was killed. The network `compiled` is
    compiled in place, which keeps the names of its weights.
    """
    if not 0 <= options.ema_decay < 1:
        raise ValueError(f"ema_decay must be at least 0 and below 1, got {options.ema_decay}")
    chosen, of_steps = instantiate_callbacks(callbacks)
    if of_steps:
        raise ValueError(f"callbacks.{next(iter(of_steps))} is no callback of Lightning, as a training needs")
    folder, path = job.folder, job.folder.path / f"{module.kind}.safetensors"
    fit = Fit(module, data, _budget(trainer_config), CheckpointFiles(folder.path))
    data.setup("fit")
    assert data.train is not None
    images = data.train
    if compiled is not None:
        compiled.compile()

    def provenance(device: str = "") -> Provenance:
        return collect_provenance(
            seeds={"seed": module.seed},
            device=device,
            checkpoints=checkpoints,
            data_hash=index_hash(images),
        )

    extended = fit.goes_on_after(folder)
    if not extended and job.is_done(provenance, options.resume_anyway):
        return 0
    whole = not extended and _is_whole(folder, path)  # must be read now: `begin` removes DONE
    last = [fit.budget, Throughput(), Checkpointing(fit.files.last, options.checkpoint_minutes)]
    with open_trainer(job, trainer_config, logger, chosen, last) as trainer:
        if job.is_trial:
            trainer.fit(module, data)
            return 0
        if not trainer.is_global_zero:
            return 0 if whole else int(fit.run(trainer) is None)
        with folder.lock():
            start = provenance(str(trainer.strategy.root_device))
            start.effective_batch = data.batch_size * trainer.world_size * trainer.accumulate_grad_batches
            job.begin(start, options.resume_anyway)
            log_start(job, trainer, start)
            if not whole:
                module.facts = facts_of(job, start, module, fit.budget, data, trainer)
                if (validation := fit.run(trainer, folder)) is None:
                    return 1
                origins = lineage(checkpoints["start"]) if "start" in checkpoints else []
                assert (checkpoint := fit.files.newest()) is not None
                spent = spent_in(checkpoint)
                # Weights before card before DONE: a kill in between leaves a run that is not done, and whose next start
                # repeats these steps from the last checkpoint without training.
                save_model(
                    path, module.network, module.kind, getattr(torch, options.weights), History(spent.steps, origins)
                )
                save_validation(folder, validation)
                log_trained_weights(trainer.logger, path, module.facts | {"steps": str(spent.steps)})
                write_training_card(
                    path, job, module, data, spent, origins, validation=validation, license=options.license
                )
                print(f"validation: {in_words(validation) or 'no images'}")
            left = [path, path.with_suffix(".md"), folder.path / VALIDATION]
            folder.mark_done([file.name for file in left if file.exists()])  # runs of before may lack the last one
    print(path)
    return 0


@dataclass
class Fit:
    """A training with its budget and the files of its checkpoints."""

    module: DenoisingTraining
    data: ImageDataModule
    budget: Budget
    files: CheckpointFiles

    def goes_on_after(self, folder: RunFolder) -> bool:
        """Return whether this training extends one that was done with a smaller budget.

        Raises
        ------
        ValueError
            If the run has already gone beyond this budget, or it has no checkpoint to go on from.
        """
        if not folder.vouched_files() or str(self.budget) == _budget_of(folder):
            return False
        if (checkpoint := self.files.newest()) is None:
            raise ValueError(f"{folder.path} has no checkpoint to go on from: give another output_root to start afresh")
        steps = spent_in(checkpoint).steps
        if 0 < self.budget.max_steps < steps:
            raise ValueError(
                f"trainer.max_steps is {self.budget.max_steps}, this run has gone on to {steps} steps:"
                " give another output_root for a shorter one"
            )
        return not self.budget.is_spent_in(checkpoint)

    def run(self, trainer: pl.Trainer, folder: RunFolder | None = None) -> dict[str, float] | None:
        """Train until the budget is spent, load the averaged weights into the module, and return their validation.

        On failure, report the reason on the terminal and in the `folder`, and return None.
        """
        try:
            checkpoint = self.files.newest()
            if checkpoint is None or not self.budget.is_spent_in(checkpoint):
                trainer.fit(self.module, self.data, ckpt_path=checkpoint and str(checkpoint))
                checkpoint = self.files.last
            if self.budget.is_spent_in(checkpoint):
                return self._validate(trainer, checkpoint)
            reason = f"stopped at step {trainer.global_step}, before the budget of {self.budget} was spent"
        except Diverged as error:
            reason = f"the training diverged: {error}"
        if folder is not None:
            folder.mark_failed(reason)
            print(f"alps: {reason}; {self._resume_point()}", file=sys.stderr)
        return None

    def _validate(self, trainer: pl.Trainer, checkpoint: Path) -> dict[str, float]:
        """Load the averaged weights and return their validation metrics by name."""
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")
        check_state(state)
        self.module.load_state_dict(state["state_dict"])
        self.module.facts = state.get(RECORD, {}).get("facts", self.module.facts)
        if self.data.validation is None:
            return {}
        found = trainer.validate(self.module, self.data, verbose=False)
        numbers = {name.removeprefix("validation/"): float(value) for one in found for name, value in one.items()}
        if wrong := [name for name, value in numbers.items() if not math.isfinite(value)]:
            raise Diverged(f"the validation's {wrong[0]} is not finite")
        return numbers

    def _resume_point(self) -> str:
        checkpoint = self.files.newest()
        return f"the same command goes on from step {spent_in(checkpoint).steps if checkpoint else 0}"


def _budget_of(folder: RunFolder) -> str | None:
    """Return the budget of the last start of a run; None if it is not known."""
    try:
        trainer = folder.load_config().get("trainer")
        return str(_budget(OmegaConf.create(trainer))) if isinstance(trainer, dict) else None
    except ValueError:
        return None


def _budget(trainer: DictConfig) -> Budget:
    max_time = trainer.max_time
    return Budget(trainer.max_steps, dict(max_time) if OmegaConf.is_dict(max_time) else max_time)


def _is_whole(folder: RunFolder, weights: Path) -> bool:
    """Return whether weights and card are still as the finished run wrote them."""
    card = weights.with_suffix(".md")
    there = (folder.path / DONE).exists() and weights.is_file() and card.is_file()
    if not there or {weights.name, card.name, VALIDATION}.intersection(folder.changed_files()):
        return False
    return f"| sha256 | {file_hash(weights)} |" in card.read_text()
