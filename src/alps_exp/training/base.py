"""Base class of teacher training and distillation: keyed noise, statistics by noise scale, optimizer, validation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from alps_exp.batch import Batch
from alps_exp.checkpoints.state_dicts import RECORD, TrainingRecord
from alps_exp.networks.preconditioning import Preconditioned, architecture_of
from alps_exp.priors.base import as_channels
from alps_exp.randomness import image_noise, step_generator
from alps_exp.training.bands import band_losses, gradient_norm
from alps_exp.training.budget import budget_of
from alps_exp.training.divergence import Diverged, check_state
from alps_exp.training.gap import mean_gap
from alps_exp.training.noise import LogNormalSigma, add_noise
from alps_exp.training.optimizers import ScheduledAdam

CHECK_EVERY = 50
"""Steps between checks that all losses were finite; each check synchronizes with the device."""
NEVER = torch.iinfo(torch.int64).max
VALIDATION_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class DenoisingTraining(pl.LightningModule):
    """Trains `network` on noisy images with the loss of a subclass.

    Parameters
    ----------
    network
        The network to train; its weights are the result.
    optimizer
        Optimizer with its learning-rate schedule over the trainer's `Budget`.
    sigma
        Distribution of the noise scale.
    seed
        Seed of the noise: sigma and noise are functions of (seed, step, rank).
    band_interval
        Steps between logs of loss and gradient norm by noise scale: the trainer's `log_every_n_steps` or a multiple of
        it; 0: never.
    frozen
        A second network that the loss evaluates but does not train.

    Attributes
    ----------
    facts : dict
        Facts about the training that are stored in checkpoints, by name.

    Raises
    ------
    Diverged
        In training, if a loss, or a weight that is about to be saved, is not finite.
    """

    kind: ClassVar[str]
    """Kind of the trained weights: ``teacher`` or ``energy``."""
    monitor: ClassVar[str]
    """Metric of the validation that says how good the weights are, without the prefix of its images."""

    def __init__(
        self,
        network: Preconditioned,
        optimizer: ScheduledAdam,
        sigma: LogNormalSigma,
        seed: int = 0,
        band_interval: int = 50,
        frozen: Preconditioned | None = None,
    ) -> None:
        super().__init__()
        self.network, self.optimizer, self.sigma = network, optimizer, sigma
        self.seed, self.band_interval = seed, band_interval
        self.facts: dict[str, str] = {}
        self._first_bad = torch.tensor(NEVER)
        # In a tuple the network is not a submodule: it is neither averaged, saved nor counted as a parameter.
        self._frozen: tuple[Preconditioned, ...] = (frozen.requires_grad_(False).eval(),) if frozen else ()

    def on_fit_start(self) -> None:
        self._first_bad = self._first_bad.to(self.device)
        parameter = next(self.network.parameters())
        for network in self._frozen:  # which Lightning does not move, since they are not submodules
            network.to(parameter.device, parameter.dtype)

    @abstractmethod
    def loss(self, x: Tensor, noisy: Tensor, sigma: Tensor, augment: Tensor | None = None) -> Tensor:
        """Return the weighted loss (N,) for clean and noisy images (N, C, H, W), with optional augmentation labels."""

    @abstractmethod
    def errors(self, x: Tensor, noisy: Tensor, sigma: Tensor) -> dict[str, Tensor]:
        """Return the error images whose mean squares are validated, by name, for clean and noisy (N, C, H, W)."""

    def weight(self, sigma: Tensor) -> Tensor:
        """Return EDM's weight of the squared error, (sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
        sigma_data = self.network.sigma_data
        return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean loss of a batch, with sigma and noise that are functions of (seed, step, rank)."""
        x = as_channels(batch["image"])
        accumulate = self.trainer.accumulate_grad_batches
        step = self.global_step * accumulate + batch_idx % accumulate
        generator = step_generator(self.seed, step, self.global_rank, self.device)
        torch.manual_seed(generator.initial_seed() ^ 1)  # for dropout, which does not accept a generator
        sigma = self.sigma(len(x), generator)
        losses = self.loss(x, add_noise(x, sigma, generator), sigma, self._augment_labels(batch))
        mean = losses.mean()
        self._note(mean)
        self.log("loss", mean, prog_bar=True)
        done = self.global_step + 1  # as Lightning counts the steps that it logs
        if self.band_interval and done % self.band_interval == 0:
            self._log_bands(losses, sigma)
        return mean

    def _augment_labels(self, batch: Batch) -> Tensor | None:
        """Return the augmentation labels of a batch; zeros (no augmentation) if only the network has any."""
        width, given = _label_width(self.network), batch.get("augment")
        if given is None:
            return batch["image"].real.new_zeros(len(batch["image"]), width) if width else None
        if wrong := {_label_width(network) for network in (self.network, *self._frozen)} - {given.shape[1]}:
            raise ValueError(
                f"the data give {given.shape[1]} augmentation labels, the network takes {wrong.pop()}: train one of"
                f" augment_dim={given.shape[1]}, or on data without alps_exp.datasets.Augmented"
            )
        return given

    def _log_bands(self, losses: Tensor, sigma: Tensor) -> None:
        for name, loss in band_losses(losses, sigma).items():
            self.log(f"loss/{name}", loss.detach())
            self.log(f"gradient_norm/{name}", gradient_norm(loss, self.network.parameters()))

    def _note(self, loss: Tensor) -> None:
        """Note the first step with a non-finite loss on the device itself, without synchronizing with it."""
        bad = self._first_bad.clamp(max=self.global_step + 1)
        self._first_bad = torch.where(loss.detach().isfinite(), self._first_bad, bad)

    def on_train_batch_end(self, *_: object) -> None:
        """Raise `Diverged`, every `CHECK_EVERY` steps, if a loss of any process was not finite."""
        if self.global_step % CHECK_EVERY == 0:
            self._check_losses()

    def _check_losses(self) -> None:
        first = torch.as_tensor(self.all_gather(self._first_bad))
        if (step := int(first.min())) < NEVER:
            raise Diverged(f"the loss is not finite at step {step}")

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the mean square of each of the `errors` at each of `VALIDATION_SIGMAS`, in full precision."""
        x, prefix = as_channels(batch["image"]), self.validation_prefixes()[dataloader_idx]
        for sigma in VALIDATION_SIGMAS:
            noisy, scales = self.validation_noise(x, sigma, batch["image_id"])
            with torch.autocast(x.device.type, enabled=False):
                errors = self.errors(x, noisy, scales)
            for name, value in errors.items():
                name = f"{prefix}{name}_sigma_{sigma:g}"
                self.log(name, value.square().mean(), batch_size=len(x), sync_dist=True, add_dataloader_idx=False)

    def on_validation_epoch_end(self) -> None:
        """Log the relative gap averaged over log-uniform sigma if an energy is compared with a teacher."""
        logged = self.trainer.callback_metrics
        for prefix in self.validation_prefixes():
            scales = [f"sigma_{sigma:g}" for sigma in VALIDATION_SIGMAS]
            if f"{prefix}gap_{scales[0]}" in logged:
                gap, reference = ([logged[f"{prefix}{n}_{scale}"] for scale in scales] for n in ("gap", "reference"))
                self.log(f"{prefix}gap", mean_gap(gap, reference, VALIDATION_SIGMAS))

    def validation_prefixes(self) -> list[str]:
        """Return the prefix of the metric names of each validation dataset."""
        parts = self.trainer.datamodule.validation_parts  # type: ignore[attr-defined]
        return [f"validation/{name}/" if name else "validation/" for name in parts]

    def validation_noise(self, x: Tensor, sigma: float, image_ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return x plus noise that is the same at every validation and on every device, and sigma per image."""
        noise = image_noise(x, *[(self.seed, image_id) for image_id in image_ids])
        return x + sigma * noise, torch.full((len(x),), sigma, device=x.device, dtype=x.dtype)

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Store kind, architecture and facts, so that the checkpoint can be read without its run.

        Lightning calls this in all processes, so raising `Diverged` keeps all of them from writing.
        """
        self._check_losses()
        check_state(checkpoint)
        architecture = architecture_of(self.network)
        checkpoint[RECORD] = TrainingRecord(kind=self.kind, architecture=architecture, facts=dict(self.facts))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return optimizer and schedule; raises ValueError if the training has no budget."""
        return self.optimizer(self.network.parameters(), budget_of(self.trainer).progress)


def _label_width(network: Preconditioned) -> int:
    embedding = network.model.map_augment
    return 0 if embedding is None else embedding.weight.shape[1]
