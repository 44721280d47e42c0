"""The inference module: measure a batch of images, sample the posterior, evaluate, and write a result per image."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor

from alps_exp.datasets.batches import UNREADABLE, one_by_one, select
from alps_exp.estimates import Estimates
from alps_exp.evaluation import LPIPS, estimate_flags, image_metrics, lpips_numbers, spread_and_error
from alps_exp.operators import LinearOperator
from alps_exp.priors import EnergyPrior, Prior
from alps_exp.randomness import measurement_noise
from alps_exp.reconstruction import Reconstruction
from alps_exp.runs import ImageResult, Record, RunFolder
from alps_exp.samplers import Sampler
from alps_exp.samplers.batched_prior import BatchedPrior

log = logging.getLogger(__name__)
SAMPLING_ERRORS = (ArithmeticError, RuntimeError)


@dataclass(frozen=True)
class Labels:
    """Names that every record of a run carries."""

    task: str
    operator: str
    sampler: str


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
        Factory of the forward operator of a batch, see `operator_of`.
    sampler
        Sampler or reconstruction.
    folder
        Run folder for the results.
    labels
        Names in the records.
    num_samples
        Number of posterior samples per image; MAP and point estimates always use one.
    seed
        Seed of measurement noise and sampling noise.
    save_samples
        Whether to write the samples themselves in addition to their mean and standard deviation.
    lpips
        Model for the perceptual distance (LPIPS) of RGB images; None to skip it.
    """

    def __init__(
        self,
        prior: Prior,
        operator: Callable[..., LinearOperator],
        sampler: Sampler | Reconstruction,
        folder: RunFolder,
        *,
        labels: Labels,
        num_samples: int,
        seed: int,
        save_samples: bool,
        lpips: LPIPS | None = None,
    ) -> None:
        super().__init__()
        self.prior, self.operator, self.sampler = prior, operator, sampler
        self.folder, self.labels = folder, labels
        self.num_samples = num_samples if sampler.estimate == "mmse" else 1
        self.seed, self.save_samples, self.lpips = seed, save_samples, lpips
        self.shares_samples = False
        self.mine: list[str] | None = None
        self.unreadable: dict[str, str] = {}

    def on_predict_start(self) -> None:
        """Decide how the processes share the work: images, or the samples of each image if there are few images."""
        images: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        few_images = len(images.test) < self.trainer.world_size
        self.shares_samples = few_images and self.sampler.independent and self.num_samples > 1
        self.mine = images.test.image_ids[self.global_rank : self.global_rank + 1] if few_images else None

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Restore a batch and write the results of its unfinished images.

        With fewer images than processes, the processes split the samples of each image; if samples depend on one
        another, each process takes whole images instead. Unreadable images are recorded in `on_predict_end`.
        """
        batch, unreadable = self._split_off_unreadable(batch)
        if self.shares_samples:
            # One process decides: another could find an image finished that the first is just writing.
            unfinished = self.trainer.strategy.broadcast(self.folder.unfinished(batch["image_id"]))
            self._restore_and_write(batch, unfinished, write=self.global_rank == 0)
        elif self.mine is not None:
            unreadable = {image_id: reason for image_id, reason in unreadable.items() if image_id in self.mine}
            for one in one_by_one(batch):
                if one["image_id"][0] in self.mine:
                    self._restore_and_write(one, self.folder.unfinished(one["image_id"]))
        else:
            self._restore_and_write(batch, self.folder.unfinished(batch["image_id"]))
        self.unreadable |= unreadable

    def on_predict_end(self) -> None:
        """Write a failed record for every unreadable image, then wait for all processes."""
        writes = not self.shares_samples or self.global_rank == 0
        for image_id in self.folder.unfinished(list(self.unreadable)) if writes else ():
            record = self._record(image_id, self._noise_std(), self.sampler.estimate)
            self.folder.save_result(image_id, ImageResult([record.failed(self.unreadable[image_id])]))
        self.trainer.strategy.barrier()

    def _split_off_unreadable(self, batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the readable images of a batch, and the reason for each unreadable one by image id.

        If the processes share the samples of an image, all of them must be able to read it: otherwise those that can
        would wait forever for the others.
        """
        readable = {name: value for name, value in batch.items() if name != UNREADABLE}
        unreadable = batch.get(UNREADABLE, {})
        if self.shares_samples:
            of_all: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(of_all, unreadable)
            unreadable = {image_id: why for of_one in of_all for image_id, why in of_one.items()}
            readable = select(readable, [i for i, one in enumerate(readable["image_id"]) if one not in unreadable])
        return readable, unreadable

    def _noise_std(self) -> Any:
        """Return the noise level for records of unreadable images: that of the request, or else of another image."""
        if (noise_std := noise_of(self.operator)) is not None:
            return noise_std
        return next((record.noise_std for record in self.folder.records()), None)

    def _restore_and_write(self, batch: dict[str, Any], unfinished: Sequence[str], write: bool = True) -> None:
        if not unfinished:
            return
        results = zip(batch["image_id"], self.restore(batch), strict=True)
        for image_id, result in results if write else ():
            if image_id in unfinished:
                self.folder.save_result(image_id, result)

    def restore(self, batch: dict[str, Any]) -> list[ImageResult]:
        """Return the result of every image of a batch.

        A batch has `image` (B, C, H, W), `image_id` and per-image arguments of the operator. Measured data bring their
        own `measurement`. They may lack `image`, in which case no metrics are computed, and `crop` (B, 2) gives the
        central region in which metrics are computed.

        If the restoration of an image fails, its result holds the reason. Faults of the request itself, such as a mask
        of the wrong size, raise ValueError.
        """
        ids = batch["image_id"]
        try:
            operator = operator_of(self.operator, batch)
        except KeyError as error:
            raise ValueError(f"the data have no {error}, which the operator needs") from error
        y = self._measure(batch, operator)
        start = _clock(y)  # the measurement is simulated, so it is not part of the time
        try:
            draw = partial(self.sampler, self.prior, operator, y, seed=self.seed, image_ids=ids)
            estimates = draw_shared(draw, self.num_samples, y.device) if self.shares_samples else draw(self.num_samples)
        except SAMPLING_ERRORS as error:
            if len(ids) > 1:  # retry one by one: a single bad image must not fail its whole batch
                return [result for one in one_by_one(batch) for result in self.restore(one)]
            log.warning("image %s failed: %s", ids[0], error)
            reason = f"{type(error).__name__}: {error}"
            failed = self._record(ids[0], operator.noise_stds, self.sampler.estimate).failed(reason)
            truth = _array(batch["image"][0]) if "image" in batch else None
            return [ImageResult([failed], truth, _array(y[0]), _array(operator.adjoint(y)[0]))]
        seconds = (_clock(y) - start) / len(ids)
        return self._results(batch, y, operator, estimates, seconds)

    def _measure(self, batch: dict[str, Any], operator: LinearOperator) -> Tensor:
        """Return the data's own measurement as far as the operator keeps it, or simulate one with keyed noise."""
        if "measurement" in batch:
            if (batch["noise_std"] != operator.noise_std).any():
                raise ValueError(
                    "these data bring their own measurement with its own noise level: choose operator=measured or "
                    "retrospective_4x, or simulate another measurement with data.test.measured=false"
                )
            return operator.restrict(batch["measurement"])
        truth = batch["image"]
        noise = measurement_noise(self.seed, batch["image_id"], operator.forward(truth))
        return operator.measure(truth, noise)

    def _results(
        self, batch: dict[str, Any], y: Tensor, operator: LinearOperator, estimates: Estimates, seconds: float
    ) -> list[ImageResult]:
        truth, ids = batch.get("image"), batch["image_id"]
        mean = estimates.mean
        std = estimates.std if self.num_samples > 1 else None
        of_mean = self._numbers(mean, batch, y, operator)
        spread, error = spread_and_error(mean, std, self.num_samples, mean if truth is None else truth)
        if truth is not None:
            of_mean["error"] = error
        if spread is not None:  # known without a ground truth, unlike the error
            of_mean["spread"] = spread
        of_samples = self._numbers(estimates.samples, batch, y, operator)
        measured = operator.measured_count(y).tolist()
        size = mean[0].numel() * (2 if mean.is_complex() else 1)
        converged = estimates.diagnostics.get("converged", torch.ones(estimates.samples.shape[:2])).cpu()
        calls = {"nfe_forward": estimates.nfe_forward, "nfe_vjp": estimates.nfe_vjp}
        arrays = {"truth": truth, "measurement": y, "adjoint": operator.adjoint(y), "std": std}
        results = []
        for i, image_id in enumerate(ids):
            kind: str = self.sampler.estimate
            costs = {"num_samples": self.num_samples, "seconds": seconds} | _at(calls, i)
            flags = partial(_flags, measured=measured[i], size=size)
            numbers = _at(of_mean, i)
            of_estimate = flags(kind, numbers, converged[:, i])
            records = [self._record(image_id, operator.noise_stds, kind, **costs, **numbers, flags=of_estimate)]
            result = ImageResult(records, **{n: _array(x[i]) for n, x in arrays.items() if x is not None})
            result.estimates[kind] = _array(mean[i])
            result.diagnostics = {name: _array(values[:, i]) for name, values in estimates.diagnostics.items()}
            if operator.acceleration is not None:
                result.diagnostics["acceleration"] = _array(operator.acceleration.expand(len(ids))[i])
            if kind == "mmse":
                result.estimates["sample"] = _array(estimates.samples[0, i])
                for s in range(self.num_samples):
                    numbers = _at(of_samples, (s, i))
                    own = costs | numbers | {"sample_index": s, "flags": flags("sample", numbers, converged[s, i])}
                    records.append(self._record(image_id, operator.noise_stds, "sample", **own))
            if self.save_samples:
                result.samples = _array(estimates.samples[:, i])
            results.append(result)
        return results

    def _numbers(self, x: Tensor, batch: dict[str, Any], y: Tensor, operator: LinearOperator) -> dict[str, Tensor]:
        """Return metrics, data misfit and, for an energy prior, E / t^2 of every image of x."""
        numbers = {"data_misfit": operator.misfit(x, y)}
        if (truth := batch.get("image")) is not None:
            # One crop for all: `collate` refuses batches whose crops differ.
            crop = tuple(batch["crop"][0].tolist()) if "crop" in batch else None
            numbers |= image_metrics(x, truth, crop=crop) | lpips_numbers(self.lpips, x, truth)
        if isinstance(self.prior, EnergyPrior) and isinstance(self.sampler, Sampler):
            t = self.sampler.last_scale
            numbers["energy"] = BatchedPrior(self.prior, self.sampler.micro_batch).energy(x, t) / t**2
        return {name: value.cpu() for name, value in numbers.items()}

    def _record(self, image_id: str, noise_std: Any, estimate: str, **numbers: Any) -> Record:
        return Record(
            image_id=image_id,
            task=self.labels.task,
            operator=self.labels.operator,
            noise_std=noise_std,
            sampler=self.labels.sampler,
            seed=self.seed,
            estimate=estimate,
            **numbers,
        )


def _flags(estimate: str, numbers: dict[str, Tensor], converged: Tensor, measured: int, size: int) -> list[str]:
    misfit, energy = numbers["data_misfit"], numbers.get("energy")
    return estimate_flags(estimate, misfit, measured, energy, size, bool(converged.all()))


def draw_shared(draw: Callable[..., Estimates], num_samples: int, device: torch.device) -> Estimates:
    """Let every process draw its share of the samples, and return the estimates from all of them in every process.

    Parameters
    ----------
    draw
        Called as ``draw(count, first_sample=...)``.
    num_samples
        Number of samples over all processes.
    device
        Device of the result.

    Raises
    ------
    RuntimeError
        In every process, if drawing fails in any of them.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    first, end = num_samples * rank // size, num_samples * (rank + 1) // size
    mine: Any = None
    try:
        if end > first:
            mine = _moved(draw(end - first, first_sample=first), torch.device("cpu"))
    except SAMPLING_ERRORS as error:
        mine = f"{type(error).__name__}: {error}"
    shares: list[Any] = [None] * size
    dist.all_gather_object(shares, mine)
    if reasons := [share for share in shares if isinstance(share, str)]:
        raise RuntimeError(reasons[0])
    return _moved(_joined([share for share in shares if share is not None], num_samples), device)


def _joined(shares: Sequence[Estimates], num_samples: int) -> Estimates:
    def mean(name: str) -> Tensor:
        return torch.stack([getattr(s, name) * len(s.samples) for s in shares]).sum(0) / num_samples

    diagnostics = {name: torch.cat([s.diagnostics[name] for s in shares]) for name in shares[0].diagnostics}
    samples = torch.cat([s.samples for s in shares])
    return Estimates(samples, mean("nfe_forward"), mean("nfe_vjp"), diagnostics)


def _moved(x: Estimates, device: torch.device) -> Estimates:
    diagnostics = {name: values.to(device) for name, values in x.diagnostics.items()}
    return Estimates(x.samples.to(device), x.nfe_forward.to(device), x.nfe_vjp.to(device), diagnostics)


def operator_of(factory: Callable[..., LinearOperator], batch: dict[str, Any]) -> LinearOperator:
    """Return the forward operator of a batch.

    Parameters
    ----------
    factory
        A `functools.partial` of the operator's class. Bound arguments that are callable, such as masks and coil maps,
        are called with the batch first; callables in a list are operator factories themselves.
    batch
        The batch.
    """
    bound = getattr(factory, "keywords", {})
    return factory(**{name: _of_batch(value, batch) for name, value in bound.items()})


def noise_of(factory: Callable[..., LinearOperator]) -> float | list[float] | None:
    """Return the noise level bound in an operator factory (one per part of a joint operator); None if data bring it."""
    bound = getattr(factory, "keywords", {})
    if "operators" in bound:
        each = [level for part in bound["operators"] if isinstance(level := noise_of(part), int | float)]
        return each if len(each) == len(bound["operators"]) else None
    noise_std = bound.get("noise_std")
    return noise_std if isinstance(noise_std, int | float) else None


def _of_batch(value: Any, batch: dict[str, Any]) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [operator_of(item, batch) if callable(item) else item for item in value]
    return value(batch) if callable(value) else value


def _clock(x: Tensor) -> float:
    """Return the time in seconds, after all pending work on the device of x is done."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter()


def _at(numbers: dict[str, Tensor], index: Any) -> dict[str, Tensor]:
    return {name: values[index] for name, values in numbers.items()}


def _array(x: Tensor) -> Any:
    return x.detach().cpu().numpy()
