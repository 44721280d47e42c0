"""Calibration of a sampler: restore images that the prior itself may have drawn, and compare samples with truths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from alps_exp.batch import Batch
from alps_exp.datasets.batches import one_by_one
from alps_exp.estimates import Estimates
from alps_exp.evaluation import compare_with_exact, exact_posterior
from alps_exp.evaluation.calibration import (
    LEVELS,
    image_statistics,
    kernel_stein_discrepancy,
    rank_histogram,
    ranks,
    stein_variance_ratio,
    summarize,
)
from alps_exp.evaluation.conformal import conformal_scores
from alps_exp.evaluation.tarp import tarp_statistics
from alps_exp.operators import Inpainting
from alps_exp.priors import GaussianMixturePrior, Prior
from alps_exp.randomness import torch_generator
from alps_exp.restoration.conformal import PREFIX
from alps_exp.restoration.judging import Restored, to_numpy
from alps_exp.restoration.measuring import Measured, OperatorRule, operator_of
from alps_exp.restoration.module import Restoration
from alps_exp.restoration.settings import RestorationSettings
from alps_exp.runs import ImageResult, Record, RunFolder
from alps_exp.samplers import Sampler
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Callback

Report = dict[str, Any]
"""Numbers, or lists of them, by name; those over images with the ends of their interval."""
JUDGED = ("kernel_stein_discrepancy", "stein_variance_ratio", "squared_bias", "std_ratio", "wasserstein_excess")
NOISELESS = ("spread_noiseless", "error_noiseless")


class Calibration(Restoration):
    """Restoration that keeps the samples and also evaluates them with the posterior score of the prior itself.

    Every result has the scores of `alps_exp.evaluation.conformal` among its diagnostics (as ``conformal_pixels``, ...),
    and ``kernel_stein_discrepancy`` and ``stein_variance_ratio`` of its samples relative to p_t(x | y) at the sampler's
    last scale t. The score is c (D(x, t) - x) / t^2 - A^H (A x - y) / eta^2, with c the
    curvature of the prior; for an energy the first term is -grad E / t^2. For closed-form priors there are also the
    numbers of `alps_exp.evaluation.compare_with_exact`.

    Parameters
    ----------
    prior, operator, sampler, folder, settings
        As in `Restoration`.
    generator
        Sampler that draws the images from the prior, as posterior samples without measured pixels; the images of the
        batches then only provide size and dtype. None: the images of the batches are restored.

    Raises
    ------
    ValueError
        If num_samples is below 2; when an image has no truth, which its samples are compared with.
    """

    def __init__(
        self,
        prior: Prior,
        operator: OperatorRule,
        sampler: Sampler,
        folder: RunFolder,
        settings: RestorationSettings,
        generator: Sampler | None = None,
    ) -> None:
        if settings.num_samples < 2:
            raise ValueError(f"num_samples must be at least 2, got {settings.num_samples}")
        super().__init__(prior, operator, sampler, folder, replace(settings, save_samples=True))
        self.generator, self.last_scale, self.micro_batch = generator, sampler.last_scale, sampler.micro_batch

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Draw the images of a batch from the prior if requested, restore them, and write the results."""
        if self.generator is not None and self.folder.unfinished(batch["image_id"]):
            self.progress.compute()
            draw = partial(draw_images, callbacks=[self.progress.step])
            drawn = draw(self.prior, self.generator, batch["image"], self.settings.seed, batch["image_id"])
            batch = {**batch, "image": drawn}
        if batch["image_id"] and "image" not in batch:
            raise ValueError(f"image {batch['image_id'][0]} has no truth, which its samples are compared with")
        super().predict_step(batch, batch_idx)

    @property
    def num_steps(self) -> int:
        """The steps of the sampler for a batch, and of the generator before it."""
        return super().num_steps + (0 if self.generator is None else self.generator.num_steps)

    def _sample(self, measured: Measured) -> Restored:
        """Restore the images of a batch; ranks need samples of equal weight."""
        restored = super()._sample(measured)
        return replace(restored, estimates=restored.estimates.equally_weighted())

    def results(self, measured: Measured, restored: Restored) -> list[ImageResult]:
        """Judge the estimates of a batch, their samples also by the score of the posterior."""
        results = super().results(measured, restored)
        x = restored.estimates.samples
        scores = self._posterior_scores(x, measured)
        for statistic in (kernel_stein_discrepancy, stein_variance_ratio):
            for result, value in zip(results, to_numpy(statistic(x, scores)), strict=True):
                result.diagnostics[statistic.__name__] = value
        assert measured.truth is not None
        for name, values in conformal_scores(restored.estimates, measured.truth, measured.crop).items():
            for result, value in zip(results, to_numpy(values), strict=True):
                result.diagnostics[f"{PREFIX}{name}"] = value
        self._rank_noiseless(results, measured, restored.estimates)
        if isinstance(self.prior, GaussianMixturePrior):
            for i, one in enumerate(one_by_one(measured.batch)):
                operator = operator_of(self.operator, one)
                posterior = exact_posterior(self.prior, operator, measured.y[i : i + 1])
                generator = torch_generator(self.settings.seed, *one["image_id"], "exact")
                numbers = compare_with_exact(x[:, i], posterior, generator)
                results[i].diagnostics |= {name: to_numpy(value) for name, value in numbers.items()}
        return results

    def _rank_noiseless(self, results: Sequence[ImageResult], measured: Measured, estimates: Estimates) -> None:
        """Add the ranks of the truth among the samples without the noise of the last step, if they are known.

        Images that the generator drew carry the noise of its own last step, which such samples lack.
        """
        if estimates.noiseless is None or self.generator is not None:
            return
        assert measured.truth is not None
        for i, result in enumerate(results):
            samples, truth = estimates.noiseless[:, i : i + 1].cpu(), measured.truth[i : i + 1].cpu()
            chance = torch_generator(self.settings.seed, measured.batch["image_id"][i], "ranks")
            histogram = rank_histogram(ranks(samples, truth, chance), len(samples))
            result.diagnostics["histogram_noiseless"] = to_numpy(histogram[0])

    def _posterior_scores(self, x: Tensor, measured: Measured) -> Tensor:
        operator, t = measured.operator, self.last_scale
        prior = BatchedPrior(self.prior, self.micro_batch)
        of_prior = prior.curvature * (prior.denoise(x, t) - x) / t**2
        return of_prior + operator.adjoint(measured.y - operator.forward(x)) / operator.noise_std**2


def draw_images(
    prior: Prior, generator: Sampler, like: Tensor, seed: int, ids: Sequence[str], *, callbacks: Sequence[Callback] = ()
) -> Tensor:
    """Draw an image (B, C, H, W) from the prior for each id, with the shape and dtype of `like`.

    The generator samples the posterior of a measurement without measured pixels, which is the prior. Its noise has
    another key than the noise with which the image is measured and restored, so that the two are independent.
    """
    nothing = Inpainting(torch.zeros(1, 1, *like.shape[-2:], device=like.device), noise_std=1.0)
    keys = [f"{image_id}/drawn" for image_id in ids]
    estimates = generator(prior, nothing, torch.zeros_like(like), 1, seed, keys, callbacks=callbacks)
    return estimates.samples[0]


def calibration_report(folder: RunFolder, records: Sequence[Record], seed: int) -> Report | None:
    """Return the numbers of a run's calibration report as plain values for JSON; None if no image was restored.

    They are those of `alps_exp.evaluation.calibration.summarize` over the restored images, those of
    `alps_exp.evaluation.tarp.tarp_statistics` among them, with the run's labels, ``images`` (how many), ``units`` (how
    many of them are independent), ``failed`` (how many were not restored), ``samples``, ``levels`` of the coverage, and
    the cost: ``nfe_forward`` and ``nfe_vjp`` of a sample, ``seconds`` of an image.

    Parameters
    ----------
    folder
        Folder of the run, with the samples in its results.
    records
        Records of the run.
    seed
        Seed of the breaking of ties among ranks, and of the points of TARP.
    """
    failed = {record.image_id for record in records if record.status != "ok"}
    restored = [r for r in records if r.estimate == "mmse" and r.image_id not in failed]
    if not restored:
        return None
    of_images = [_statistics(folder.load_result(record.image_id), seed) for record in restored]
    statistics = {name: torch.cat([one[name] for one in of_images]) for name in of_images[0]}
    first = restored[0]
    labels = {name: getattr(first, name) for name in ("task", "operator", "noise_std", "sampler", "seed")}
    costs = {name: _mean([getattr(r, name) for r in restored]) for name in ("nfe_forward", "nfe_vjp", "seconds")}
    units = [record.unit for record in restored]
    counts = {"images": len(restored), "units": len(set(units)), "failed": len(failed), "samples": first.num_samples}
    return labels | counts | costs | {"levels": list(LEVELS)} | summarize(statistics, units)


def _statistics(result: ImageResult, seed: int) -> dict[str, Tensor]:
    """Return the statistics of one image, each with a leading axis of length one."""
    samples, truth = torch.as_tensor(result.samples)[:, None], torch.as_tensor(result.truth)[None]
    statistics = image_statistics(samples, truth, torch.Generator().manual_seed(seed))
    statistics |= tarp_statistics(samples, truth, torch_generator(seed, result.records[0].image_id, "tarp"))
    if "histogram_noiseless" in result.diagnostics:
        record = result.record("mmse")
        statistics["histogram_noiseless"] = torch.as_tensor(result.diagnostics["histogram_noiseless"]).double()[None]
        statistics |= {name: torch.tensor([getattr(record, name)]).double() for name in NOISELESS}
    judged = (name for name in JUDGED if name in result.diagnostics)
    return statistics | {name: torch.as_tensor(result.diagnostics[name]).double()[None] for name in judged}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
