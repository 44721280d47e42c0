"""Measuring a batch of images: its forward operator, and the measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from alps_exp.batch import Batch
from alps_exp.checks import positive
from alps_exp.operators import LinearOperator
from alps_exp.randomness import measurement_noise
from alps_exp.source import SourceSlice

OperatorRule = LinearOperator | partial[LinearOperator]
"""An operator for every batch, or its class with arguments of which some are functions of the batch."""

Regions = Mapping[str, Callable[[Batch], Tensor]]
"""Masks (B, 1, H, W) by name, as functions of a batch."""


@dataclass(frozen=True)
class Measured:
    """A batch of B images with its forward operator, its measurement y (B, ...), and regions (B, H, W) bool by name."""

    batch: Batch
    operator: LinearOperator
    y: Tensor
    regions: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def truth(self) -> Tensor | None:
        """The images (B, C, H, W), if they are known."""
        return self.batch.get("image")

    @property
    def crop(self) -> tuple[int, int] | None:
        """Rows and columns of the center in which images are compared; None: the whole image."""
        if "crop" not in self.batch:
            return None
        rows, columns = self.batch["crop"][0].tolist()  # one for all: `collate` refuses batches whose crops differ
        return rows, columns

    def source(self, i: int) -> SourceSlice | None:
        """Return the slice of a volume that the i-th image shows, if it is one."""
        sources = self.batch.get("source_slice")
        return None if sources is None else sources[i]

    def own_noise(self, i: int) -> dict[str, float]:
        """Return ``prepared_noise_std`` of the i-th image, if another noise level takes its place."""
        levels = self.batch.get("prepared_noise_std")
        return {} if levels is None else {"prepared_noise_std": float(levels[i])}

    def truth_check(self, i: int) -> dict[str, float]:
        """Return ``truth_misfit`` and ``truth_residual`` of the i-th image, as far as they are known."""
        if "truth_misfit" not in self.batch or self.batch["truth_misfit"][i].isnan():
            return {}
        found = {"truth_misfit": self.batch["truth_misfit"][i], "truth_residual": self.batch["truth_residual"][i]}
        return {name: float(value) for name, value in found.items()}

    def has_unsound_truth(self, i: int) -> bool:
        """Return whether the truth of the i-th image does not explain the data that it was made from."""
        return "truth_sound" in self.batch and not self.batch["truth_sound"][i]


def measure(rule: OperatorRule, batch: Batch, seed: int, regions: Regions | None = None) -> Measured:
    """Return a batch with the data's own measurement, as far as the operator keeps it, or with a simulated one.

    The noise of a simulated measurement is keyed by seed and image id.

    Raises
    ------
    ValueError
        If the data lack what the operator needs, or bring a measurement with another noise level, or a region is not of
        the images' size, or empty.
    """
    measured = _measure(rule, batch, seed)
    if not regions:
        return measured
    image = batch | {"image": measured.operator.adjoint(measured.y)}
    masks = {name: region(image)[:, 0].bool() for name, region in regions.items()}
    for name, mask in masks.items():
        if not mask.any((1, 2)).all():
            raise ValueError(f"the region {name} is empty")
    return replace(measured, regions=masks)


def _measure(rule: OperatorRule, batch: Batch, seed: int) -> Measured:
    try:
        operator = operator_of(rule, batch)
    except KeyError as error:
        raise ValueError(f"the data have no {error}, which the operator needs") from error
    if "measurement" in batch:
        if "noise_std" in batch and (batch["noise_std"] != operator.noise_std).any():
            raise ValueError(
                "these data bring their own measurement with its own noise level: choose operator=measured or "
                "retrospective_4x (with another level by data.test.noise_std=NUMBER), or simulate another measurement "
                "with data.test.measured=false"
            )
        if "noise_std" not in batch and not _keeps_to_mask(operator, batch):
            raise ValueError("these pictures are measurements, with their own masks: choose operator=inpaint_measured")
        return Measured(batch, operator, operator.restrict(batch["measurement"]))
    truth = batch["image"]
    noise = measurement_noise(seed, batch["image_id"], operator.forward(truth))
    return Measured(batch, operator, operator.measure(truth, noise))


def _keeps_to_mask(operator: LinearOperator, batch: Batch) -> bool:
    """Return whether an operator takes no pixel for measured that is missing."""
    mask = getattr(operator, "mask", None)
    return isinstance(mask, Tensor) and not (mask.bool() & ~batch["mask"].bool()).any()


def operator_of(rule: OperatorRule, batch: Batch) -> LinearOperator:
    """Return the forward operator of a batch.

    Parameters
    ----------
    rule
        An operator, or a `functools.partial` of an operator's class. Its bound arguments that are callable, such as
        masks and coil maps, are called with the batch; in a list they are rules of operators themselves.
    batch
        The batch.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(rule, LinearOperator):
        return rule
    if not isinstance(rule, partial):
        raise ValueError(f"the operator is {rule!r}, expected a LinearOperator or a functools.partial of its class")
    return rule(**{name: _of_batch(value, batch) for name, value in rule.keywords.items()})


def noise_of(rule: OperatorRule) -> float | list[float] | None:
    """Return the noise level of an operator (a list for the parts of a joint one); None if the data bring it."""
    if isinstance(rule, LinearOperator):
        return rule.noise_stds
    if "operators" in rule.keywords:
        parts = rule.keywords["operators"]
        each = [level for part in parts if isinstance(level := noise_of(part), int | float)]
        return each if len(each) == len(parts) else None
    noise_std = rule.keywords.get("noise_std")
    return noise_std if isinstance(noise_std, int | float) else None


def check_noise(rule: OperatorRule) -> None:
    """Raise ValueError if a noise level of a rule is not positive, before the first batch makes an operator of it."""
    level = noise_of(rule) if isinstance(rule, partial) else None
    for one in level if isinstance(level, list) else [] if level is None else [level]:
        positive("noise_std", one)


def _of_batch(value: object, batch: Batch) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [operator_of(item, batch) if isinstance(item, partial) else item for item in value]
    return value(batch) if callable(value) else value
