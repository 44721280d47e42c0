"""The inference module: every image of a batch is measured, restored and judged, and its result handed over."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from alps_exp.batch import Batch
from alps_exp.datasets.batches import in_parts, one_by_one, select
from alps_exp.estimates import has_std
from alps_exp.lightning import ImageDataModule
from alps_exp.priors import Prior
from alps_exp.reconstruction import Reconstruction
from alps_exp.restoration.background import Background
from alps_exp.restoration.cost import CostMeter
from alps_exp.restoration.judging import Judge, Restored
from alps_exp.restoration.measuring import Measured, OperatorRule, check_noise, measure, noise_of
from alps_exp.restoration.progress import ImageProgress
from alps_exp.restoration.settings import RestorationSettings
from alps_exp.restoration.sharing import SAMPLING_ERRORS, draw_shared, gather_reasons
from alps_exp.runs import ImageResult, RunFolder
from alps_exp.samplers import Sampler

log = logging.getLogger(__name__)


class Restoration(pl.LightningModule):
    """Lightning module that restores the images of `predict` and writes one result per image.

    A batch whose images are all finished is skipped. Otherwise the whole batch is computed, and only its unfinished
    images are written: floating-point results can depend on the batch size, so a resumed run must use the same batches
    to reproduce the numbers of an uninterrupted one.

    Parameters
    ----------
    prior
        Prior that the sampler uses.
    operator
        The forward operator, or the rule that makes it for each batch, see `alps_exp.restoration.operator_of`.
    sampler
        Sampler or reconstruction.
    folder
        Run folder for the results.
    settings
        Labels, samples, seed and what is saved.
    """

    def __init__(
        self,
        prior: Prior,
        operator: OperatorRule,
        sampler: Sampler | Reconstruction,
        folder: RunFolder,
        settings: RestorationSettings,
    ) -> None:
        super().__init__()
        check_noise(operator)
        self.prior, self.operator, self.sampler, self.folder = prior, operator, sampler, folder
        self.settings = settings_for(sampler, settings)
        self.judge = Judge(prior, sampler, self.settings)
        self.background = Background()
        self.progress = ImageProgress()
        self.shares_samples = False
        self.own_images: list[str] | None = None
        self.unreadable: dict[str, str] = {}
        self.at_once = sys.maxsize  # images of a batch: fewer once the memory was too small

    def restore(self, batch: Batch) -> list[ImageResult]:
        """Return the result of every image of a batch.

        If the restoration of an image fails, its result holds the reason. Faults of the request itself, such as a mask
        of the wrong size, raise ValueError.
        """
        return [result for measured, outcome in self._sampled(batch) for result in self._judged(measured, outcome)]

    def _sampled(self, batch: Batch) -> list[tuple[Measured, Restored | Exception]]:
        """Measure and restore a batch: as a whole or, if that fails, in parts."""
        count = len(batch["image_id"])
        if count > self.at_once:
            return [outcome for part in in_parts(batch, self.at_once) for outcome in self._sampled(part)]
        measured = measure(self.operator, batch, self.settings.seed, self.settings.regions)
        try:
            return [(measured, self._sample(measured))]
        except SAMPLING_ERRORS as error:
            failure = error.with_traceback(None)  # whose frames would keep the memory of what failed
        if count == 1:
            log.warning("image %s failed: %s", batch["image_id"][0], failure)
            return [(measured, failure)]
        del measured
        return [outcome for part in self._parts(batch, failure) for outcome in self._sampled(part)]

    def _parts(self, batch: Batch, failure: Exception) -> list[Batch]:
        """Return the parts in which a batch that failed is tried again."""
        if not isinstance(failure, torch.OutOfMemoryError):
            return one_by_one(batch)  # a single bad image must not fail its whole batch
        count = len(batch["image_id"])
        self.at_once = -(-count // 2)
        log.warning("%d images at a time do not fit in the memory of the device: %d from here on", count, self.at_once)
        return in_parts(batch, self.at_once)

    def _judged(self, measured: Measured, outcome: Restored | Exception) -> list[ImageResult]:
        if isinstance(outcome, Exception):
            return [self.judge.failure(measured, outcome)]
        return self.results(measured, outcome)

    def _sample(self, measured: Measured) -> Restored:
        """Let the sampler restore the images of a batch, and measure what it costs."""
        y, ids = measured.y, measured.batch["image_id"]
        cost = CostMeter(y.device)
        draw = partial(self.sampler, self.prior, measured.operator, y, seed=self.settings.seed, image_ids=ids)
        if self.settings.antithetic:
            draw = partial(draw, antithetic=True)
        if isinstance(self.sampler, Sampler):
            draw = partial(draw, callbacks=[self.progress.step, *self.settings.callbacks])
        count = self.settings.num_samples
        estimates = draw_shared(draw, count, y.device) if self.shares_samples else draw(count)
        return Restored(estimates, cost.seconds() / len(ids), cost.peak_memory_mib())

    def results(self, measured: Measured, restored: Restored) -> list[ImageResult]:
        """Judge the estimates of a batch and return the result of every image."""
        return self.judge.results(measured, restored)

    def on_predict_start(self) -> None:
        """Decide how the processes share the work: images, or the samples of each image if there are few images."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageDataModule) and data.test is not None
        few_images = len(data.test) < self.trainer.world_size
        self.shares_samples = few_images and self.sampler.independent and self.settings.num_samples > 1
        self.own_images = data.test.image_ids[self.global_rank : self.global_rank + 1] if few_images else None
        self.progress.processes = processes = self.trainer.world_size
        shared = self.shares_samples or processes == 1
        self.progress.total = len(data.test) if shared else math.ceil(len(data.test) / processes)

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Restore a batch and write the results of its unfinished images.

        With fewer images than processes, the processes split the samples of each image; if samples depend on one
        another, each process takes whole images instead. Unreadable images are recorded in `on_predict_end`.
        """
        batch, unreadable = self._split_off_unreadable(batch)
        if self.shares_samples:
            # One process decides: another could find an image finished that the first is just writing.
            unfinished = self.trainer.strategy.broadcast(self.folder.unfinished(batch["image_id"]))
            self._restore_and_write(batch, unfinished, write=self.global_rank == 0)
        elif self.own_images is not None:
            unreadable = {image_id: reason for image_id, reason in unreadable.items() if image_id in self.own_images}
            for one in one_by_one(batch):
                if one["image_id"][0] in self.own_images:
                    self._restore_and_write(one, self.folder.unfinished(one["image_id"]))
        else:
            self._restore_and_write(batch, self.folder.unfinished(batch["image_id"]))
        self.unreadable |= unreadable
        if batch_idx == 0:
            self.background.finish()  # a fault of the request shows in the first batch

    def on_predict_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Note how many images come next."""
        images = [*batch["image_id"], *batch.get("unreadable", {})]
        own = [one for one in images if self.own_images is None or one in self.own_images]
        self.progress.begin_batch(len(own), self.num_steps)

    @property
    def num_steps(self) -> int:
        """The steps of the sampler for a batch, as far as it has any."""
        return self.sampler.num_steps if isinstance(self.sampler, Sampler) else 0

    def on_predict_batch_end(self, outputs: object, batch: object, batch_idx: int, dataloader_idx: int = 0) -> None:
        """End the job after this batch if it was told to: Lightning itself heeds SIGTERM in trainings only."""
        self.progress.end_batch()
        if self.trainer.received_sigterm and batch_idx + 1 < self.trainer.num_predict_batches[0]:
            raise SIGTERMException

    def on_predict_end(self) -> None:
        """Write a failed record for every unreadable image, then wait for all processes."""
        self.background.finish()
        writes = not self.shares_samples or self.global_rank == 0
        for image_id in self.folder.unfinished(list(self.unreadable)) if writes else ():
            record = self.judge.record(image_id, self._noise_std(), self.sampler.estimate)
            self.folder.save_result(image_id, ImageResult([record.failed(self.unreadable[image_id])]))
        self.trainer.strategy.barrier()

    def _split_off_unreadable(self, batch: Batch) -> tuple[Batch, dict[str, str]]:
        """Return the readable images of a batch, and the reason for each unreadable one by image id.

        If the processes share the samples of an image, all of them must be able to read it: otherwise those that can
        would wait forever for the others.
        """
        readable = batch.copy()
        unreadable = readable.pop("unreadable", {})
        if self.shares_samples:
            unreadable = gather_reasons(unreadable)
            readable = select(readable, [i for i, one in enumerate(readable["image_id"]) if one not in unreadable])
        return readable, unreadable

    def _noise_std(self) -> float | list[float] | None:
        """Return the noise level for records of unreadable images: that of the request, or else of another image."""
        if (noise_std := noise_of(self.operator)) is not None:
            return noise_std
        return next((record.noise_std for record in self.folder.records()), None)

    def _restore_and_write(self, batch: Batch, unfinished: Sequence[str], write: bool = True) -> None:
        """Restore a batch; its images are judged and written while the next is restored."""
        if not unfinished:
            return
        self.progress.compute()
        sampled = self._sampled(batch)
        if write:
            self.background.run(partial(self._judge_and_write, sampled, unfinished))

    def _judge_and_write(
        self, sampled: Sequence[tuple[Measured, Restored | Exception]], unfinished: Sequence[str]
    ) -> None:
        for measured, outcome in sampled:
            for image_id, result in zip(measured.batch["image_id"], self._judged(measured, outcome), strict=True):
                if image_id in unfinished:
                    self.folder.save_result(image_id, result)


def settings_for(sampler: Sampler | Reconstruction, settings: RestorationSettings) -> RestorationSettings:
    """Return the settings as a sampler uses them: the number of estimates, and whether they are antithetic.

    Raises
    ------
    ValueError
        If antithetic samples are asked for, and the sampler has none, or callbacks where there are no steps.
    """
    if settings.callbacks and not isinstance(sampler, Sampler):
        raise ValueError(f"{type(sampler).__name__} takes no steps that callbacks could follow: leave them out")
    if settings.antithetic is True and isinstance(sampler, Sampler):
        sampler.check_pairs()
    if sampler.estimate != "mmse":
        return replace(settings, num_samples=1, interval=None, antithetic=False)
    if settings.antithetic == "auto":
        independent = settings.interval is not None or settings.conformal is not None
        can = isinstance(sampler, Sampler) and sampler.takes_pairs and not independent
        return replace(settings, antithetic=can and has_std(settings.num_samples, antithetic=True))
    return settings
