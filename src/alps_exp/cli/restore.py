"""`alps restore`: measure the test images through an operator and restore them with a sampler."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.cli.finished import is_finished
from alps_exp.cli.inference import choose_prior
from alps_exp.cli.summary import in_full, on_one_line
from alps_exp.priors import Precision
from alps_exp.runs.job import JobContext

if TYPE_CHECKING:
    from alps_exp.lightning import ImageDataModule
    from alps_exp.restoration import Run

MASK = {"_target_": "alps_exp.masks.FileMask"}


def restore(
    job: JobContext,
    /,
    *,
    data: DictConfig,
    operator: DictConfig,
    sampler: DictConfig,
    teacher: DictConfig | None,
    energy: DictConfig | None,
    trainer: DictConfig,
    logger: DictConfig | None,
    name: str,
    labels: DictConfig,
    num_samples: int,
    antithetic: bool | Literal["auto"] = "auto",
    seed: int,
    save: Literal["summary", "samples"],
    lpips: str | None,
    interval: float | None,
    regions: DictConfig | None,
    figures: bool,
    objective: str | None = None,
    precision: Precision = "float32",
    compile: bool = False,
    resume_anyway: bool,
    verify: bool = False,
    callbacks: DictConfig | None = None,
    output_root: str,
) -> int:
    """Restore the test images and return the exit status: 1 if images failed."""
    chosen_sampler, rule = instantiate(sampler), instantiate(operator)
    masks = {str(name): instantiate(MASK, path=path) for name, path in (regions or {}).items()}
    prior = choose_prior(chosen_sampler, teacher, energy)
    if is_finished(job, data, (rule, masks), prior, seed, resume_anyway):
        return 0

    # Imported only now: a finished job has answered long before Lightning and torchmetrics are loaded.
    from alps_exp import restoration
    from alps_exp.cli.callbacks import instantiate_callbacks
    from alps_exp.evaluation import load_lpips
    from alps_exp.lightning.trainer import open_trainer

    of_trainer, of_steps = instantiate_callbacks(callbacks)
    images: ImageDataModule = instantiate(data)
    images.setup("predict")
    assert images.test is not None
    run = restoration.restore(
        images.test,
        rule,
        chosen_sampler,
        prior.load(precision, compile),
        job,
        num_samples=num_samples,
        seed=seed,
        labels=instantiate(labels),
        save_samples=save == "samples",
        lpips=load_lpips(lpips),
        interval=interval,
        antithetic=antithetic,
        regions=masks,
        figures=figures,
        batch_size="auto" if images.is_auto else images.batch_size,
        num_workers=images.num_workers,
        trainer=open_trainer(job, trainer, logger, of_trainer),
        callbacks=[*of_steps.values()],
        checkpoints=prior.checkpoints,
        resume_anyway=resume_anyway,
    )
    return report(run, job.place) if run.restored else 0


def report(run: Run, place: str = "") -> int:
    """Print the mean metrics of a run, on one line if it has a place in a sweep, and its failed images.

    Returns the exit status.
    """
    if restored := run.counts()["images"]:
        print(f"{place}{on_one_line(run)}" if place else in_full(run))
    for sentence, count in run.warnings().items():
        print(f"warning: {count} of {restored} images: {sentence}", file=sys.stderr)
    return print_failed(run.failed)


def print_failed(failed: dict[str, str]) -> int:
    """Print the images that failed, and return the exit status."""
    for image_id, reason in failed.items():
        print(f"failed: {image_id}: {reason}", file=sys.stderr)
    return 1 if failed else 0
