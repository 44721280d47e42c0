"""The number that a finished run reports as its objective, and the direction in which a sweeper should look."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

from alps_exp.errors import listed
from alps_exp.files import write_atomically
from alps_exp.foreign_files import read_bytes
from alps_exp.runs.folder import RunFolder
from alps_exp.runs.records import ESTIMATES, Record

Direction = Literal["maximize", "minimize"]

VALIDATION = "validation.json"
"""The validation metrics of a training by name; a file of its run folder."""
_OF_TRAINING = "validation/"
METRICS = ("psnr", "ssim", "nmse", "lpips", "data_misfit", "log_evidence")
COSTS = ("nfe_forward", "nfe_vjp", "seconds")
HIGHEST = ("psnr", "ssim", "log_evidence")
BEST: dict[Direction, str] = {"maximize": "high", "minimize": "low"}
OBJECTIVES = (*METRICS, "flagged", "miscalibration")
"""Metrics of an estimate that can be optimized."""


def direction_of(objective: str) -> Direction:
    """Return whether an objective is the better the higher, as PSNR, SSIM and evidence, or the lower it is."""
    return "maximize" if objective.rpartition("/")[2] in HIGHEST else "minimize"


def objective_value(run: RunFolder, objective: str) -> float:
    """Return the objective of a finished run, from its files.

    Parameters
    ----------
    run
        A restoration or a training.
    objective
        A name of `means_of`, as ``mmse/psnr``, or of a training's validation, as ``validation/gap``.

    Raises
    ------
    ValueError
        If the run has no such number, or images of it failed: a mean over others does not compare.
    """
    if objective.startswith(_OF_TRAINING):
        numbers = _validation(run)
    else:
        records = run.records()
        if failed := {record.image_id for record in records if record.status != "ok"}:
            raise ValueError(f"no {objective}: images failed ({listed(sorted(failed))})")
        numbers = means_of(records)
    if objective not in numbers:
        known = ", ".join(name for name in numbers if is_objective(name)) or "none at all"
        raise ValueError(f"no {objective}, only {known}")
    return numbers[objective]


def is_objective(name: str) -> bool:
    """Return whether a number of a run, by its name, is one to optimize."""
    return name.startswith(_OF_TRAINING) or name.rpartition("/")[2] in OBJECTIVES


def means_of(records: Sequence[Record]) -> dict[str, float]:
    """Return the means of a restoration over its restored images, by name.

    Parameters
    ----------
    records
        The records of the run.

    Returns
    -------
    dict
        For each kind of estimate, as ``mmse/psnr``: the metrics, and ``flagged``, the share that has flags. Where
        samples have a spread and images a truth: ``spread_error``, the root of the summed squares of spread over that
        of error, and ``miscalibration``, the size of its logarithm, 0 where the two are equal. Over images:
        ``nfe_forward``, ``nfe_vjp`` (network calls a sample), ``seconds`` and ``peak_memory_mib``, of which it is the
        most of any image.
    """
    failed = {record.image_id for record in records if record.status != "ok"}
    good = [record for record in records if record.image_id not in failed]
    means: dict[str, float] = {}
    for kind in ESTIMATES:
        of_kind = [record for record in good if record.estimate == kind]
        means |= {f"{kind}/{name}": value for name, value in (_metrics(of_kind) | _calibration(of_kind)).items()}
    of_images = list({record.image_id: record for record in good}.values())
    memory = [record.peak_memory_mib for record in good if record.peak_memory_mib is not None]
    return means | _means(of_images, COSTS) | ({"peak_memory_mib": max(memory)} if memory else {})


def _metrics(records: Sequence[Record]) -> dict[str, float]:
    flagged = {"flagged": fmean(bool(record.flags) for record in records)} if records else {}
    return _means(records, METRICS) | flagged


def _means(records: Sequence[Record], names: Sequence[str]) -> dict[str, float]:
    """Return means over records, of samples with weights by these: their sum is 1 for each image."""
    means = {}
    for name in names:
        known = [record for record in records if getattr(record, name) is not None]
        values = [getattr(record, name) for record in known]
        weights = [record.weight for record in known if record.weight is not None]
        if weights:
            means[name] = sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
        elif known:
            means[name] = fmean(values)
    return means


def _calibration(records: Sequence[Record]) -> dict[str, float]:
    pairs = [(r.spread, r.error) for r in records if r.spread is not None and r.error is not None]
    spread, error = math.hypot(*(pair[0] for pair in pairs)), math.hypot(*(pair[1] for pair in pairs))
    if not error:
        return {}
    ratio = spread / error
    return {"spread_error": ratio} | ({"miscalibration": abs(math.log(ratio))} if ratio else {})


def save_validation(run: RunFolder, numbers: Mapping[str, float]) -> None:
    """Write the validation metrics of a training, by their names without ``validation/``, into its folder."""
    named = {f"{_OF_TRAINING}{name}": value for name, value in numbers.items()}
    write_atomically(run.path / VALIDATION, json.dumps(named, indent=1).encode())


def _validation(run: RunFolder) -> dict[str, float]:
    """Return the validation metrics of a training."""
    path = run.path / VALIDATION
    if not path.exists():
        return {}
    try:
        numbers = {str(name): float(value) for name, value in json.loads(read_bytes(path)).items()}
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} does not hold the metrics of a validation ({error})") from error
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
