"""What the verbs that restore images share: the sampler's prior, and a run folder around Lightning's predict."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from alps_exp.checkpoints import model_path
from alps_exp.checks import check_unique
from alps_exp.lightning import ImageDataModule
from alps_exp.lightning.loggers import log_figure
from alps_exp.lightning.trainer import log_config, open_trainer
from alps_exp.priors import NullPrior, Prior
from alps_exp.reconstruction import Reconstruction
from alps_exp.restoration import Restoration
from alps_exp.runs import Provenance, Record, collect_provenance
from alps_exp.runs.job import JobContext
from alps_exp.runs.provenance import index_hash
from alps_exp.samplers import Sampler


@dataclass
class ChosenPrior:
    """The prior of a request that its sampler uses."""

    kind: str
    config: DictConfig

    def load(self) -> Prior:
        """Return the prior."""
        return instantiate(self.config)

    @property
    def title(self) -> str:
        """Kind and name, for messages."""
        return f"{self.kind} {self.config.get('name', self.config._target_.rpartition('.')[2])}"

    @property
    def checkpoints(self) -> dict[str, Path]:
        """Weight files named in the config, by role: none for a closed form, several for a composition."""
        return weight_files(self.kind, self.config)


def choose_prior(
    sampler: Sampler | Reconstruction, teacher: DictConfig | None, energy: DictConfig | None
) -> ChosenPrior:
    """Return the prior that the sampler needs; raises ValueError if the request lacks it."""
    kind = sampler.prior_kind
    if kind is None:
        return ChosenPrior("prior", OmegaConf.create({"_target_": "alps_exp.priors.NullPrior"}))
    config = {"teacher": teacher, "energy": energy}[kind]
    if config is None:
        raise ValueError(f"this sampler needs {'an' if kind == 'energy' else 'a'} {kind}, got {kind}=null")
    return ChosenPrior(kind, config)


def predict(
    job: JobContext,
    module: Restoration,
    images: ImageDataModule,
    prior: ChosenPrior,
    trainer_config: DictConfig,
    logger: DictConfig | None,
    *,
    resume_anyway: bool,
    report: Callable[[list[Record], pl.Trainer], list[Path]],
) -> int:
    """Restore the test images in this job's run folder, report, and return the exit status: 1 if images failed.

    `report` gets the records and the trainer, and returns the files that it writes.
    """
    test: Any = images.test
    _check_images(test, module.prior, prior.title)

    def provenance(device: str = "") -> Provenance:
        return collect_provenance(
            seeds={"seed": module.seed},
            device=device,
            checkpoints=prior.checkpoints,
            data_hash=index_hash(test, mask_files(job.config.operator)),
            num_images=len(test),
        )

    if job.is_done(provenance, resume_anyway, test.image_ids):
        return 0
    with open_trainer(job, trainer_config, logger) as trainer:
        # Only the first process locks and records; the others write the images that Lightning gives them.
        if not trainer.is_global_zero:
            trainer.predict(module, images, return_predictions=False)
            return 0
        with job.folder.lock():
            job.begin(provenance(str(trainer.strategy.root_device)), resume_anyway)
            log_config(job, trainer)
            trainer.predict(module, images, return_predictions=False)
            records = job.folder.merge_records(test.image_ids)
            job.folder.mark_done([path.name for path in report(records, trainer)])
    return _status(records)


def log_result(trainer: pl.Trainer, numbers: dict[str, float], name: str, figure: Path) -> None:
    """Send metrics and figure to the logger."""
    if trainer.logger is not None:
        trainer.logger.log_metrics(numbers)
    log_figure(trainer.logger, name, figure)


def weight_files(role: str, config: Any) -> dict[str, Path]:
    """Return the weight files named in the config of a prior, by role."""
    loaders = (".load_energy", ".load_teacher")
    return {
        key: model_path(part.name, part._target_.rpartition("_")[2]) for key, part in _parts_of(config, loaders, role)
    }


def mask_files(config: Any) -> list[Path]:
    """Return the mask files named in the config of an operator."""
    return [Path(part.path) for _, part in _parts_of(config, (".FileMask",))]


def _parts_of(config: Any, targets: tuple[str, ...], key: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Yield the parts of a config whose `_target_` ends in one of `targets`, each with its full key."""
    if OmegaConf.is_dict(config) and str(config.get("_target_")).endswith(targets):
        yield key, config
    elif OmegaConf.is_config(config):
        for name, part in config.items() if OmegaConf.is_dict(config) else enumerate(config):
            yield from _parts_of(part, targets, f"{key}.{name}")


def _check_images(test: Any, prior: Prior, model: str) -> None:
    """Raise ValueError if the images do not fit the model, or two images have the same id."""
    if not isinstance(prior, NullPrior) and test.channels != prior.channels:
        raise ValueError(
            f"the {model} works on {prior.channels} channels (complex images have 2), "
            f"the images of this data choice have {test.channels}"
        )
    check_unique(test.image_ids)


def _status(records: list[Record]) -> int:
    """Print the images that failed, and return the exit status."""
    failed = {record.image_id: record.status for record in records if record.status != "ok"}
    for image_id, reason in failed.items():
        print(f"failed: {image_id}: {reason}", file=sys.stderr)
    return 1 if failed else 0
