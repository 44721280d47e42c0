"""Judging estimates: metrics, misfit, energy and flags of every image, as its records and arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alps_exp.crops import center_crop
from alps_exp.estimates import FEWEST_ANCESTORS, UNCERTIFIED, EstimateKind, Estimates, Weights, sample_std
from alps_exp.evaluation import (
    credible_interval,
    estimate_flags,
    image_metrics,
    lpips_numbers,
    region_statistics,
    setting_warnings,
    slice_sums,
    spread_and_error,
)
from alps_exp.priors import EnergyPrior, Prior
from alps_exp.reconstruction import Reconstruction
from alps_exp.restoration.measuring import Measured
from alps_exp.restoration.settings import RestorationSettings
from alps_exp.runs import ImageResult, Record
from alps_exp.samplers import Sampler
from alps_exp.samplers.batched_prior import BatchedPrior

Numbers = dict[str, Tensor]


@dataclass(frozen=True)
class Restored:
    """The estimates of the images of a batch, the seconds that each of them took, and the peak memory of the batch."""

    estimates: Estimates
    seconds: float
    peak_memory_mib: float


class Judge:
    """Makes the result of every image from its estimates.

    Parameters
    ----------
    prior, sampler
        Those of the estimates.
    settings
        Those of the restoration.
    """

    def __init__(self, prior: Prior, sampler: Sampler | Reconstruction, settings: RestorationSettings) -> None:
        self.prior, self.sampler, self.settings = prior, sampler, settings

    @property
    def kind(self) -> EstimateKind:
        """The kind of estimate that the sampler's mean is."""
        return self.sampler.estimate

    def results(self, measured: Measured, restored: Restored) -> list[ImageResult]:
        """Return the result of every image of a batch."""
        estimates = restored.estimates
        mean, std = estimates.mean, estimates.std if estimates.has_std else None
        of_mean = self.numbers(mean, measured) | _spread_and_error(estimates, measured.truth)
        of_samples = self.numbers(estimates.samples, measured) if self.kind == "mmse" else {}
        adjoint = measured.operator.adjoint(measured.y)
        conformal = self.settings.conformal
        bounds = conformal.bounds(estimates, measured.truth, measured.crop) if conformal else [None] * len(mean)
        results = []
        for i, of_image in enumerate(bounds):
            records = self._records(i, measured, restored, of_mean, of_samples)
            if of_image is not None:
                records[0].conformal = of_image.numbers
                records[0].warnings += of_image.warnings
            result = ImageResult(
                records,
                truth=None if measured.truth is None else to_numpy(measured.truth[i]),
                measurement=to_numpy(measured.y[i]),
                adjoint=to_numpy(adjoint[i]),
                estimates={self.kind: to_numpy(mean[i])},
                std=None if std is None else to_numpy(std[i]),
                samples=to_numpy(estimates.samples[:, i]) if self.settings.save_samples else None,
                half_width=None if of_image is None else to_numpy(of_image.half_width),
                diagnostics={name: to_numpy(values[:, i]) for name, values in estimates.diagnostics.items()},
                source=measured.source(i),
                **_uncertainty(estimates, i, self.settings.interval),
            )
            if self.kind == "mmse":
                result.estimates["sample"] = to_numpy(estimates.samples[0, i])
            result.diagnostics["measured_count"] = to_numpy(measured.operator.measured_count(measured.y)[i])
            if (acceleration := measured.operator.acceleration) is not None:
                result.diagnostics["acceleration"] = to_numpy(acceleration.expand(len(mean))[i])
            results.append(result)
        return results

    def numbers(self, x: Tensor, measured: Measured) -> Numbers:
        """Return metrics, data misfit and, for an energy prior, E / t^2 of every image of x (..., B, C, H, W)."""
        numbers = {"data_misfit": measured.operator.misfit(x, measured.y)}
        if measured.truth is not None:
            numbers |= image_metrics(x, measured.truth, crop=measured.crop)
            numbers |= lpips_numbers(self.settings.lpips, x, measured.truth)
        if isinstance(self.prior, EnergyPrior) and isinstance(self.sampler, Sampler):
            t = self.sampler.last_scale
            numbers["energy"] = BatchedPrior(self.prior, self.sampler.micro_batch).energy(x, t) / t**2
        return {name: value.cpu() for name, value in numbers.items()}

    def _records(
        self, i: int, measured: Measured, restored: Restored, of_mean: Numbers, of_samples: Numbers
    ) -> list[Record]:
        """Return the record of the i-th image of a batch and, of a posterior, those of its samples."""
        image_id, operator, estimates = measured.batch["image_id"][i], measured.operator, restored.estimates
        count = len(estimates.samples)
        size = estimates.mean[0].numel() * (2 if estimates.samples.is_complex() else 1)
        converged = estimates.diagnostics.get("converged", torch.ones(count, len(measured.y)))[:, i].bool().cpu()
        saddle = "saddle" in estimates.diagnostics and bool(estimates.diagnostics["saddle"][0, i])
        costs = {
            "num_samples": count,
            "antithetic": estimates.antithetic,
            "seconds": restored.seconds,
            "peak_memory_mib": restored.peak_memory_mib,
            "nfe_forward": estimates.nfe_forward[i],
            "nfe_vjp": estimates.nfe_vjp[i],
            **_evidence(estimates, i),
            **measured.truth_check(i),
            **measured.own_noise(i),
        }
        if self.kind == "map":
            costs["certificate"] = _certificate(estimates, i)
        weights = None if estimates.weights is None else estimates.weights.of_image(i)
        of_truth = ["truth"] if measured.has_unsound_truth(i) else []
        measured_values = int(operator.measured_count(measured.y)[i])

        def record(kind: str, x: Tensor, numbers: Numbers, reached: bool, **index: float) -> Record:
            samples, mine = (estimates.samples[:, i], weights) if kind == "mmse" else (x[None], None)
            regions = self._regions(samples, measured, i, mine)
            of_parts = {"volume": _share_of_volume(x, measured, i), "regions": regions}
            misfit, energy = numbers["data_misfit"], numbers.get("energy")
            flags = estimate_flags(kind, misfit, measured_values, energy, size, reached, saddle=saddle)
            warnings = [] if kind == "sample" else self._warnings(x, measured, i) + _uncertified(weights)
            entries = costs | numbers | index | of_parts | {"warnings": warnings, "flags": flags + of_truth}
            return self.record(image_id, operator.noise_stds, kind, **entries)

        records = [record(self.kind, estimates.mean[i], _at(of_mean, i), bool(converged.all()))]
        if self.kind == "mmse":
            records += [
                record("sample", estimates.samples[s, i], _at(of_samples, s, i), bool(converged[s]), **index)
                for s, index in enumerate(_indices(count, weights))
            ]
        return records

    def _warnings(self, x: Tensor, measured: Measured, i: int) -> list[str]:
        """Return what does not fit between the sampler, the model, and the i-th image with its estimate x (C, H, W)."""
        if not isinstance(self.sampler, Sampler):
            return []
        noise_std = measured.operator.noise_stds
        return setting_warnings(
            x if measured.truth is None else measured.truth[i],
            self.sampler.schedule(),
            noise_std if isinstance(noise_std, float) else None,
            peak=1.0 if "volume" in measured.batch else None,  # as prepared
            image_size=self.prior.image_size,
        )

    def _regions(
        self, samples: Tensor, measured: Measured, i: int, weights: Weights | None
    ) -> dict[str, dict[str, float]] | None:
        """Return the numbers of the regions of the i-th image from its samples (S, C, H, W); None without regions."""
        found, pairs = {}, self.settings.antithetic is True
        for name, regions in measured.regions.items():
            found[name] = region_statistics(samples, regions[i], self.settings.interval, pairs, weights)
            if measured.truth is not None:
                found[name]["truth"] = region_statistics(measured.truth[i : i + 1], regions[i])["mean"]
        return found or None

    def record(self, image_id: str, noise_std: float | list[float] | None, estimate: str, **numbers: Any) -> Record:
        """Return the record of an estimate, with the labels and the seed of this restoration."""
        labels = self.settings.labels
        return Record(
            image_id=image_id,
            task=labels.task,
            operator=labels.operator,
            noise_std=noise_std,
            sampler=labels.sampler,
            seed=self.settings.seed,
            estimate=estimate,
            **numbers,
        )

    def failure(self, measured: Measured, error: Exception) -> ImageResult:
        """Return the result of an image (a batch of one) whose restoration failed: the reason, without an estimate."""
        record = self.record(measured.batch["image_id"][0], measured.operator.noise_stds, self.kind)
        truth = None if measured.truth is None else to_numpy(measured.truth[0])
        adjoint = measured.operator.adjoint(measured.y)
        failed = record.failed(f"{type(error).__name__}: {error}")
        y, source = to_numpy(measured.y[0]), measured.source(0)
        return ImageResult([failed], truth, y, to_numpy(adjoint[0]), source=source)


def _spread_and_error(estimates: Estimates, truth: Tensor | None) -> Numbers:
    """Return spread and error as far as they exist: a spread needs no truth, unlike an error."""
    known: dict[str, Tensor | None] = {}
    for name, samples in (("", estimates.samples), ("_noiseless", estimates.noiseless)):
        if samples is not None:
            reference = samples[0] if truth is None else truth
            spread, error = spread_and_error(samples, reference, estimates.antithetic, estimates.weights)
            known |= {f"spread{name}": spread, f"error{name}": None if truth is None else error}
    return {name: value.cpu() for name, value in known.items() if value is not None}


def _indices(count: int, weights: Weights | None) -> list[dict[str, float]]:
    """Return index and, if they are not equal, weight of every sample of an image."""
    if weights is None:
        return [{"sample_index": s} for s in range(count)]
    return [{"sample_index": s, "weight": float(share)} for s, share in enumerate(weights.shares)]


def _evidence(estimates: Estimates, i: int) -> dict[str, float]:
    """Return what a sampler with weights says of the i-th image as a whole."""
    if estimates.weights is None:
        return {}
    names = ("effective_sample_size", "log_evidence", "log_evidence_std")
    numbers = {name: float(estimates.diagnostics[name][0, i]) for name in names}
    return numbers | {"ancestors": int(estimates.weights.surviving[i])}


def _uncertified(weights: Weights | None) -> list[str]:
    """Return the warning that the weights (S,) of an image say nothing, where they do not."""
    few = weights is not None and int(weights.surviving) < FEWEST_ANCESTORS
    return [f"the samples {UNCERTIFIED}"] if few else []


def _uncertainty(estimates: Estimates, i: int, level: float | None) -> dict[str, np.ndarray]:
    """Return the spread of the magnitude of complex samples of an image, and intervals at a level, if there is."""
    found, samples = {}, estimates.samples[:, i]
    if samples.is_complex() and estimates.has_std:
        weights = None if estimates.weights is None else estimates.weights.of_image(i)
        found["magnitude_std"] = to_numpy(sample_std(samples.abs(), estimates.antithetic, weights))
    if level is not None:
        samples = estimates.equally_weighted().samples[:, i]
        found["interval"] = to_numpy(torch.stack(credible_interval(samples, level)))
        if samples.is_complex():
            found["magnitude_interval"] = to_numpy(torch.stack(credible_interval(samples.abs(), level)))
    return found


def _certificate(estimates: Estimates, i: int) -> dict[str, float] | None:
    """Return the finite numbers that certify the MAP estimate of the i-th image; None if there are none."""
    names = ("decrement", "decrement_bound", "curvature", "curvature_error", "basins")
    numbers = {name: float(estimates.diagnostics[name][0, i]) for name in names if name in estimates.diagnostics}
    return {name: value for name, value in numbers.items() if math.isfinite(value)} or None


def _share_of_volume(x: Tensor, measured: Measured, i: int) -> dict[str, str | float] | None:
    """Return what an estimate (C, H, W) of the i-th image adds to the metrics of its volume; None if it is of none."""
    batch, truth = measured.batch, measured.truth
    if "volume" not in batch or (truth is None and "target" not in batch):
        return None
    if "target" in batch:
        kind, reference = "RSS", batch["target"][i]
        magnitude = x.abs() * batch["target_weight"][i]
    else:
        assert truth is not None and measured.crop is not None
        kind, reference, magnitude = "combined coils", center_crop(truth[i].abs(), measured.crop), x.abs()
    sums = slice_sums(center_crop(magnitude, (reference.shape[-2], reference.shape[-1])), reference)
    share: dict[str, str | float] = {name: float(value) for name, value in sums.items()}
    return share | {"name": batch["volume"][i], "slices": int(batch["volume_slices"][i]), "reference": kind}


def _at(numbers: Numbers, *index: int) -> Numbers:
    return {name: values[index] for name, values in numbers.items()}


def to_numpy(x: Tensor) -> np.ndarray:
    """Return a tensor as an array on the CPU."""
    array: np.ndarray = x.detach().cpu().numpy()
    return array
