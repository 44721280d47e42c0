"""Records of any number of runs to one table: a row per task, noise level, sampler and estimate.

An image counts once: its samples and seeds are averaged first, and the table then gives mean and standard
deviation over images. Runs that differ in more than their seed get rows of their own. An image that failed,
or a run that did not end, is never left out in silence: the ``status`` of a row counts them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from alps_exp.report.layout import formatted, latex_table, markdown_table
from alps_exp.report.order import sampler_order
from alps_exp.runs import ESTIMATES, RunFolder, request, write_atomically

_IMAGE = ["run", "image_id"]
_METRICS = {"psnr": ".2f", "ssim": ".3f", "nmse": ".4f"}
_NUMBERS = [*_METRICS, "spread", "error", "nfe_forward", "nfe_vjp", "seconds"]
_COLUMNS = [
    "task",
    "noise_std",
    "sampler",
    "estimate",
    "images",
    "samples",
    *(column for name in _METRICS for column in (name, f"{name}_std")),
    "spread_error",
    "nfe_forward",
    "nfe_vjp",
    "seconds",
    "status",
]


def find_runs(paths: Iterable[str | Path]) -> list[RunFolder]:
    """Find the run folders with restored images in and below the given folders, each once, sorted by path.

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
    marks = ("records.jsonl", "provenance.json")
    found = {mark.parent.resolve() for root in roots for name in marks for mark in root.rglob(name)}
    runs = [run for run in map(RunFolder, sorted(found)) if _restores_images(run)]
    if not runs:
        raise ValueError(f"no records.jsonl in or below {', '.join(map(str, roots)) or 'no folder at all'}")
    return runs


def _restores_images(run: RunFolder) -> bool:
    return (run.path / "records.jsonl").exists() or run.images_asked() is not None


def build_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Collect the records in and below the given folders into one table of numbers.

    Parameters
    ----------
    paths
        Run folders, or folders above them.

    Returns
    -------
    pandas.DataFrame
        One row per task, noise level, sampler and estimate, with ``images`` (how many the means are over),
        ``samples`` (posterior samples an image), ``psnr``, ``ssim``, ``nmse`` and their standard deviations
        over images ``psnr_std`` ... (NaN for one image), ``spread_error`` (root of the summed squares of
        spread over that of error), ``nfe_forward`` and ``nfe_vjp`` (network calls a sample), ``seconds`` an
        image, and ``status``: ``ok``, or how many images failed or are still missing. A run without any
        record has a row of its own.

    Raises
    ------
    FileNotFoundError
        If a folder is not there.
    ValueError
        If there are no runs, or a line of a `records.jsonl` is not a record.
    """
    runs = find_runs(paths)
    records = {str(run.path): run.records() for run in runs}
    lines = [asdict(record) | {"run": path} for path, found in records.items() for record in found]
    rows = [{"task": path, "status": "no records"} for path, found in records.items() if not found]
    if lines:
        frame = pd.DataFrame(lines).astype(dict.fromkeys(_NUMBERS, float))
        rows = _rows(frame, {str(run.path): run for run in runs}) + rows
    return pd.DataFrame(rows, columns=_COLUMNS).astype({"images": "Int64", "samples": "Int64"})


def _rows(frame: pd.DataFrame, runs: Mapping[str, RunFolder]) -> list[dict[str, Any]]:
    groups = dict(iter(frame.groupby(["task", "noise_std", "sampler"])))
    rows = []
    for task, noise_std, sampler in sorted(groups, key=lambda key: (*key[:2], sampler_order(key[2]))):
        for label, group in variants(groups[task, noise_std, sampler], runs):
            key = {"task": task, "noise_std": noise_std, "sampler": sampler + label}
            unfinished = _unfinished(group, runs)
            present = [estimate for estimate in ESTIMATES if (group["estimate"] == estimate).any()]
            rows += [key | _row(group, estimate, unfinished) for estimate in present]
    return rows


def variants(group: pd.DataFrame, runs: Mapping[str, RunFolder]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Split records by what their runs' configs differ in beside the seed, and name each part by its settings.

    Yields each part with its name, empty where nothing differs; a column ``run`` has the paths of `runs`.
    """
    configs = {path: _flat(request(runs[path].load_config(), "restore")) for path in group["run"].unique()}
    keys = sorted({key for config in configs.values() for key in config} - {"seed"})
    differing = [key for key in keys if len({config.get(key) for config in configs.values()}) > 1]
    labels = {path: _label(config, differing) for path, config in configs.items()}
    for label, part in group.groupby(group["run"].map(labels)):
        yield str(label), part


def _flat(node: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(node, dict):
        return {k: v for key, child in node.items() for k, v in _flat(child, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): json.dumps(node, default=str)}


def _label(config: Mapping[str, str], keys: Sequence[str]) -> str:
    settings = [f"{key.removeprefix('sampler.')}={config.get(key, 'absent').strip(chr(34))}" for key in keys]
    return f" ({', '.join(settings)})" if settings else ""


def _unfinished(group: pd.DataFrame, runs: Mapping[str, RunFolder]) -> str:
    """Say how many images are there of those asked for, where a run of the group has not ended."""
    mine = [runs[path] for path in group["run"].unique()]
    if all(run.is_done() for run in mine):
        return ""
    there = {path: part["image_id"].nunique() for path, part in group.groupby("run")}
    asked = sum(run.images_asked() or there[str(run.path)] for run in mine)
    return f"unfinished: {sum(there.values())} of {asked} images"


def _row(group: pd.DataFrame, estimate: str, unfinished: str) -> dict[str, Any]:
    mine = group[group["estimate"] == estimate].set_index(_IMAGE)
    asked = pd.MultiIndex.from_frame(group[_IMAGE]).unique()
    bad = mine.index[mine["status"] != "ok"].unique()
    restored = mine.index.unique().difference(bad)
    good = mine.loc[mine.index.isin(restored)]
    images = good.groupby("image_id")[list(_METRICS)].mean()
    row = {"estimate": estimate, "images": len(images), "samples": mine["num_samples"].max()}
    for name in _METRICS:
        row |= {name: images[name].mean(), f"{name}_std": images[name].std()}
    row |= good.groupby(_IMAGE)[["nfe_forward", "nfe_vjp", "seconds"]].first().mean().to_dict()
    honest = good[["spread", "error"]].dropna().pow(2).sum(min_count=1)
    row["spread_error"] = (honest["spread"] / honest["error"]) ** 0.5
    failed = _failed(group, len(asked) - len(restored), len(asked))
    return row | {"status": "; ".join(filter(None, [failed, unfinished])) or "ok"}


def _failed(group: pd.DataFrame, failed: int, asked: int) -> str:
    if not failed:
        return ""
    reasons = sorted({*group["status"]} - {"ok"}) or ["no record"]
    return f"{failed} of {asked} failed ({', '.join(reasons[:2])}{', ...' if len(reasons) > 2 else ''})"


def _texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as people read it, with the mean, and the deviation where there are several images."""
    texts = {
        "Task": table["task"],
        "Noise": formatted(table["noise_std"], "g"),
        "Sampler": table["sampler"].fillna("-"),
        "Estimate": table["estimate"].fillna("-"),
        "Images": formatted(table["images"], "d"),
        "Samples": formatted(table["samples"], "d"),
        "PSNR [dB]": _mean_and_deviation(table, "psnr"),
        "SSIM": _mean_and_deviation(table, "ssim"),
        "NMSE": _mean_and_deviation(table, "nmse"),
        "Spread/error": formatted(table["spread_error"], ".2f"),
        "Calls": formatted(table["nfe_forward"], ".0f") + "+" + formatted(table["nfe_vjp"], ".0f"),
        "Seconds": formatted(table["seconds"], ".3g"),
        "Status": table["status"],
    }
    return pd.DataFrame(texts).replace({"-+-": "-"})


def _mean_and_deviation(table: pd.DataFrame, name: str) -> pd.Series:
    deviation = " ± " + formatted(table[f"{name}_std"], _METRICS[name])
    return formatted(table[name], _METRICS[name]) + deviation.replace(" ± -", "")


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table of `build_table` in Markdown, its columns aligned for reading as plain text."""
    return markdown_table(_texts(table))


def to_latex(table: pd.DataFrame) -> str:
    r"""Return a table of `build_table` as a LaTeX ``tabular``, which needs ``\usepackage{booktabs}``."""
    return latex_table(_texts(table), "lrllrrrrrrrrl")


def write_tables(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `table.md`, `table.csv` (all digits) and `table.tex` into a folder, and return their paths."""
    texts = {"md": to_markdown(table), "csv": table.to_csv(index=False), "tex": to_latex(table)}
    for suffix, text in texts.items():
        write_atomically(folder / f"table.{suffix}", text.encode())
    return [folder / f"table.{suffix}" for suffix in texts]
