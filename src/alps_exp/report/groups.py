"""Reads the records of runs, and groups them as tables do: by task, noise level, sampler, and what else differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json import dumps, loads
from pathlib import Path

import pandas as pd

from alps_exp.report.comparison import Row, draws_images, settings_of
from alps_exp.report.layout import distinct_texts, noise_text
from alps_exp.report.order import sampler_order
from alps_exp.runs import RunFolder
from alps_exp.runs.study import TRIALS, is_only_trial

_NUMBERS = ["psnr", "ssim", "nmse", "lpips", "spread", "error", "spread_noiseless", "error_noiseless"]
_NUMBERS += ["nfe_forward", "nfe_vjp", "seconds"]
_ABSENT = '"absent"'  # JSON of a setting that a config lacks


def find_runs(paths: Iterable[str | Path], verify: bool = False) -> list[RunFolder]:
    """Find the runs that restore images in and below the given folders, each once, sorted by path.

    They have records, a start, or at least the config of a run that was asked for and never began. Requests that were
    refused are none, and trials of sweepers, that nobody else asked for, are left to `alps_exp.report.trials`.

    Parameters
    ----------
    paths
        Run folders, or folders above them.
    verify
        Whether the runs compare all files with their hashes, see `RunFolder`.

    Raises
    ------
    FileNotFoundError
        If a folder is not there.
    ValueError
        If there is no such run in any of them.
    """
    roots = [Path(path) for path in paths]
    for root in roots:
        if not root.is_dir():
            raise FileNotFoundError(f"no folder {root}, expected one that holds run folders")
    marks = ("records.jsonl", "provenance.json", "config.yaml")
    found = {mark.parent.resolve() for root in roots for name in marks for mark in root.rglob(name)}
    runs = [run for path in sorted(found) if _restores_images(run := RunFolder(path, verify))]
    if not runs and not any(True for root in roots for _ in root.rglob(TRIALS)):
        raise ValueError(f"no records.jsonl in or below {', '.join(map(str, roots)) or 'no folder at all'}")
    return [run for run in runs if not is_only_trial(run)]


def _restores_images(run: RunFolder) -> bool:
    if (run.path / "records.jsonl").exists():
        return True
    if run.was_refused():
        return False
    return run.images_asked() is not None if run.known_starts()[0] else bool(labels_of(run))


def read_runs(paths: Iterable[str | Path], verify: bool = False) -> tuple[dict[str, RunFolder], pd.DataFrame]:
    """Return the runs in and below the given folders by path, and their records with ``run``, the path, and ``unit``.

    Parameters
    ----------
    paths, verify
        As in `find_runs`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `find_runs`; also ValueError if a line of a `records.jsonl` is not a record.
    """
    runs = {str(run.path): run for run in find_runs(paths, verify)}
    lines = [
        vars(record) | {"run": path, "unit": record.unit} for path, run in runs.items() for record in run.records()
    ]
    if not lines:
        return runs, pd.DataFrame()
    frame = pd.DataFrame(lines).astype(dict.fromkeys(_NUMBERS, float))
    frame["noise_std"] = frame["noise_std"].map(_plain_noise).astype(object)
    of_data = frame["run"].isin([path for path, run in runs.items() if _brings_noise(run)])
    of_data &= frame["prepared_noise_std"].isna()
    for _, levels in frame[of_data].groupby("task")["noise_std"]:
        known = levels[levels.map(lambda level: isinstance(level, int | float))]
        if known.nunique() > 1:  # every volume has its own: they are one task all the same
            frame.loc[levels.index, "noise_std"] = f"{known.min():.3g} to {known.max():.3g}"
    return runs, frame


def operator_of(run: RunFolder) -> dict[str, object]:
    """Return the operator in the config of a run; empty if there is none."""
    operator = run.load_config().get("operator")
    return operator if isinstance(operator, dict) else {}


def _brings_noise(run: RunFolder) -> bool:
    """Return whether the noise level of a run is that of its data, not of its request."""
    return isinstance(operator_of(run).get("noise_std"), dict)


def groups(frame: pd.DataFrame, runs: Mapping[str, RunFolder], seeds: str) -> Iterator[tuple[Row, pd.DataFrame]]:
    """Yield ``task``, ``noise_std`` and ``sampler`` of every row of a table, in its order, and its records.

    Parameters
    ----------
    frame, runs
        Records and runs, see `read_runs`.
    seeds
        ``mean``: the seeds of a request are one group; ``each``: every seed is one.
    """
    if frame.empty:
        return
    by_name = dict(iter(frame.groupby(["task", "noise_std", "sampler"])))
    for task, noise_std, sampler in sorted(by_name, key=_row_order):
        for label, group in _split(by_name[task, noise_std, sampler], runs, seeds):
            yield {"task": task, "noise_std": noise_std, "sampler": sampler + label}, group


def variants(group: pd.DataFrame, runs: Mapping[str, RunFolder]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Split records by what their runs' configs differ in beside the seed, and name each part by its settings.

    The seed counts too where it drew the images: the same id is another image then.

    Yields each part with its name, empty where nothing differs; a column ``run`` has the paths of `runs`.
    """
    configs = {path: settings_of(runs[path]) for path in group["run"].unique()}
    drawn = any(draws_images(config) for config in configs.values())
    keys = sorted({key for config in configs.values() for key in config} - (set() if drawn else {"seed"}))
    differing = [key for key in keys if len({config.get(key) for config in configs.values()}) > 1]
    shown = {
        key: distinct_texts((config.get(key, _ABSENT) for config in configs.values()), _setting) for key in differing
    }
    labels = {path: _label(config, shown) for path, config in configs.items()}
    for label, part in group.groupby(group["run"].map(labels)):
        yield str(label), part


def _label(config: Mapping[str, str], shown: Mapping[str, Mapping[str, str]]) -> str:
    """Return the settings of a config, of those that are `shown` by their texts."""
    settings = [f"{key.removeprefix('sampler.')}={texts[config.get(key, _ABSENT)]}" for key, texts in shown.items()]
    return f" ({', '.join(settings)})" if settings else ""


def _setting(text: str, digits: int) -> str:
    """Return the JSON text of a setting as one writes it, its numbers with so many significant digits."""

    def number(written: str) -> float:
        return float(format(float(written), f".{digits}g"))

    return dumps(loads(text, parse_float=number), ensure_ascii=False).strip('"')


def labels_of(run: RunFolder) -> dict[str, object]:
    """Return the labels in the config of a run; empty if `config.yaml` is not a config of ours, such as a W&B file."""
    try:
        labels = run.load_config().get("labels")
    except ValueError:
        return {}
    return labels if isinstance(labels, dict) and "task" in labels else {}


def _row_order(key: tuple[str, float | str, str]) -> tuple[object, ...]:
    task, noise_std, sampler = key
    return (task, isinstance(noise_std, str), noise_std, sampler_order(sampler))


def _split(group: pd.DataFrame, runs: Mapping[str, RunFolder], seeds: str) -> Iterator[tuple[str, pd.DataFrame]]:
    for label, part in variants(group, runs):
        if seeds == "mean" or part["seed"].nunique() == 1:
            yield label, part
        else:
            yield from ((f"{label} (seed={seed})", of_seed) for seed, of_seed in part.groupby("seed"))


def _plain_noise(noise_std: float | list[float] | None) -> float | str:
    """Return the noise level as a number, or as text for several measurements or none, so that it can be grouped by."""
    return noise_std if isinstance(noise_std, int | float) else noise_text(noise_std)
