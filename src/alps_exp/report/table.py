"""Collects the records of any number of runs into one table, with a row per task, noise level, sampler and estimate.

Every image counts once: its samples and seeds are averaged first, then the table gives mean and standard deviation over
images. Runs that differ in more than the seed get separate rows. Failed images, images without a seed or a ground
truth, flagged estimates and unfinished runs are never left out silently: the ``status`` of a row counts them. A run
without records gets its own row, even if a sweep requested it and it never started.

Each task and noise level has one set of images: the set for which the most samplers have complete rows, and among
these the largest (`alps_exp.report.comparison`). The status of a row over other images says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from alps_exp.errors import listed
from alps_exp.intervals import LEAST, holm
from alps_exp.report.comparison import Images, Row, compared, images_of, unlike
from alps_exp.report.groups import groups, labels_of, operator_of, read_runs
from alps_exp.report.layout import is_number, noise_text
from alps_exp.report.paired import paired_difference
from alps_exp.report.paper import published, read_paper
from alps_exp.report.spread import COLUMNS, spread_numbers
from alps_exp.runs import DONE, ESTIMATES, RunFolder

_IMAGE = ["run", "image_id"]
_METRICS = ["psnr", "ssim", "nmse", "lpips"]
SLICES = "combined coils of each slice"
"""What metrics compare with where the images are slices of k-space."""
_PAPER = ["paper_psnr", "paper_psnr_std", "paper_ssim", "paper_ssim_std", "paper_data"]
_TESTS = ["difference_p", "difference_sign_p"]
_DIFFERENCE = ["difference", "difference_low", "difference_high", "difference_p", "difference_p_holm"]
_DIFFERENCE += ["difference_median", "difference_median_low", "difference_median_high"]
_DIFFERENCE += ["difference_sign_p", "difference_sign_p_holm", "pairs"]
_COLUMNS = [
    "task",
    "noise_std",
    "sampler",
    "estimate",
    "images",
    "seeds",
    "samples",
    "truth",
    *(column for name in _METRICS for column in (name, f"{name}_std")),
    "units",
    *COLUMNS,
    "nfe_forward",
    "nfe_vjp",
    "seconds",
    "flagged",
    "incomplete",
    "compared",
    "status",
]


def build_table(
    paths: Iterable[str | Path],
    seeds: Literal["mean", "each"] = "mean",
    paper: str | Path | None = None,
    reference: str | None = None,
) -> pd.DataFrame:
    """Collect the records in and below the given folders into one table of numbers.

    Parameters
    ----------
    paths
        Run folders, or folders above them.
    seeds
        ``mean``: an image's number is the mean over its seeds; ``each``: every seed has rows of its own.
    paper
        A CSV file of published numbers, see `alps_exp.report.paper`, to stand beside ours.
    reference
        A sampler (of the column ``sampler``) from which the others' PSNR is subtracted, image by image, where the
        images of one id are the same (`alps_exp.report.comparison`).

    Returns
    -------
    pandas.DataFrame
        One row per task, noise level, sampler and estimate, with ``images`` (how many the means are over), ``seeds``,
        ``samples`` (posterior samples an image), ``truth`` (what metrics compare with: the image, or of k-space the
        combined coils of each slice; `build_volume_table` is for whole volumes), ``psnr``, ``ssim``, ``nmse``,
        ``lpips`` and their standard deviations over images ``psnr_std`` ... (NaN for one image), ``units`` (how many
        images are independent: the slices of a volume are one), the numbers of `alps_exp.report.spread.spread_numbers`
        with their intervals over these, ``nfe_forward`` and ``nfe_vjp`` (network calls a sample), ``seconds`` an image,
        ``flagged`` (how many estimates are, see `alps_exp.evaluation.estimate_flags`), ``incomplete`` and ``compared``
        (whether images are missing, and whether the row compares with the others of its task, see the head of this
        file), and ``status``: ``ok``, or what there is to know of the row. A run without any
        record has a row of its own, whose status names its folder. With `paper` there are ``paper_psnr``, ..., with
        `reference` the numbers of `alps_exp.report.paired.paired_difference`, and ``difference_p_holm`` and
        ``difference_sign_p_holm``, the p-values corrected by Holm for all comparisons of the table; samples are
        compared with samples, other estimates with the reference's other one.

    Raises
    ------
    FileNotFoundError
        If a folder or `paper` is not there.
    ValueError
        If there are no runs, a line of a `records.jsonl` is not a record, or no run is of the reference.
    """
    return table_of(*read_runs(paths), seeds, paper, reference)


def table_of(
    runs: Mapping[str, RunFolder],
    frame: pd.DataFrame,
    seeds: Literal["mean", "each"] = "mean",
    paper: str | Path | None = None,
    reference: str | None = None,
    estimates: Sequence[str] = ESTIMATES,
) -> pd.DataFrame:
    """Return the table of `build_table` from runs that are read already.

    Parameters
    ----------
    runs, frame
        Runs and their records, see `alps_exp.report.read_runs`.
    seeds, paper, reference
        As in `build_table`.
    estimates
        The kinds of estimates that have rows.
    """
    with_records = set(frame["run"]) if len(frame) else set()
    of_runs, psnr, images = _rows(frame, runs, seeds, read_paper(paper) if paper else None)
    rows = _compared(of_runs, images)
    rows += [_row_without_records(run) for path, run in runs.items() if path not in with_records]
    if reference:
        _subtract(rows, psnr, images, reference)
    rows = [row for row in rows if row.get("estimate") in (None, *estimates)]
    columns = [*_COLUMNS[:-1], *(_PAPER if paper else []), *(_DIFFERENCE if reference else []), "status"]
    table = pd.DataFrame(rows, columns=columns)
    for name in _TESTS if reference else ():
        table[f"{name}_holm"] = holm(table[name])
    counts = [name for name in ("images", "units", "seeds", "samples", "flagged", "pairs") if name in table]
    return table.astype(dict.fromkeys(counts, "Int64"))


def _row_without_records(run: RunFolder) -> Row:
    """Return the row of a run without records."""
    labels, noise_std = labels_of(run), operator_of(run).get("noise_std")
    sampler = labels.get("sampler")
    return {
        "task": str(labels.get("task") or run.path),
        "noise_std": noise_std if is_number(noise_std) else None,
        "sampler": None if sampler is None else str(sampler),
        "status": f"{'no records' if run.known_starts()[0] else 'not begun'}: {run.path.name}",
    }


def _rows(
    frame: pd.DataFrame, runs: Mapping[str, RunFolder], seeds: str, paper: pd.DataFrame | None
) -> tuple[list[Row], list[pd.Series], list[Images]]:
    """Return the rows, and for each the PSNR of its images by unit and id, and what these are."""
    rows, psnr, images = [], [], []
    for key, group in groups(frame, runs, seeds):
        if paper is not None:
            settings, first = operator_of(runs[group["run"].iloc[0]]), group.iloc[0]
            key |= published(paper, key["task"], first["operator"], settings, key["noise_std"], first["sampler"])
        unfinished = _unfinished(group, runs)
        of_runs = images_of([runs[path] for path in group["run"].unique()])
        for estimate in ESTIMATES:
            if (group["estimate"] == estimate).any():
                row, of_images = _row(group, estimate, unfinished)
                rows.append(key | row)
                psnr.append(of_images)
                ids, judged = (of.index.get_level_values("image_id") for of in (of_images, of_images.dropna()))
                images.append(replace(of_runs, ids=frozenset(ids), judged=frozenset(judged)))
    return rows, psnr, images


def _compared(rows: Sequence[Row], images: Sequence[Images]) -> list[Row]:
    """Add ``compared`` to the rows, and a remark to the status of rows over other images."""
    marked = []
    for row, (same, remark) in zip(rows, compared(rows, images), strict=True):
        marked.append(row | {"compared": same and not row["incomplete"], "status": _with_remark(row["status"], remark)})
    return marked


def _with_remark(status: str, remark: str) -> str:
    return "; ".join(filter(None, [status if status != "ok" else "", remark])) or "ok"


def _subtract(rows: Sequence[Row], psnr: Sequence[pd.Series], images: Sequence[Images], reference: str) -> None:
    """Add to the rows their paired difference from the reference with the same task, noise and kind of estimate."""
    of_rows = list(zip(rows, psnr, images, strict=False))  # rows without records stand last
    theirs = {_kind(row): (found, of_row) for row, found, of_row in of_rows if row["sampler"] == reference}
    if not theirs:
        names = sorted({row["sampler"] for row in rows if "sampler" in row})
        raise ValueError(f"no run is of the reference {reference!r}, expected one of {', '.join(names)}")
    for row, mine, of_row in of_rows:
        other = theirs.get(_kind(row))
        if row["sampler"] != reference and other and not unlike(of_row, other[1]):
            row |= paired_difference(mine, other[0])
            if 0 < row["pairs"] < LEAST:
                few = f"no interval of the difference: {row['pairs']} independent images, at least {LEAST} needed"
                row["status"] = _with_remark(row["status"], few)


def _kind(row: Row) -> tuple[object, ...]:
    return row["task"], row["noise_std"], row["estimate"] == "sample"


def _unfinished(group: pd.DataFrame, runs: Mapping[str, RunFolder]) -> str:
    """Describe what has changed since a run of the group was done, or how many of the requested images exist."""
    mine = [runs[path] for path in group["run"].unique()]
    if changed := [f"{run.path.name}/{name}" for run in mine for name in run.changed_files()]:
        return f"changed since it was done: {listed(changed)}"
    if blind := [run.path.name for run in mine if (run.path / DONE).exists() and not run.vouched_files()]:
        return f"DONE lists no files: {listed(blind)}"
    if all(run.is_done() for run in mine):
        return ""
    there = [len({record.image_id for record in run.records()}) for run in mine]
    asked = sum(run.images_asked() or count for run, count in zip(mine, there, strict=True))
    return f"unfinished: {sum(there)} of {asked} images"


def _row(group: pd.DataFrame, estimate: str, unfinished: str) -> tuple[Row, pd.Series]:
    mine = group[group["estimate"] == estimate].set_index(_IMAGE)
    asked = pd.MultiIndex.from_frame(group[_IMAGE]).unique()
    bad = mine.index[mine["status"] != "ok"].unique()
    restored = mine.index.unique().difference(bad)
    good = mine.loc[mine.index.isin(restored)]
    images = _image_means(good)
    row = {"estimate": estimate, "images": len(images), "samples": mine["num_samples"].max()}
    row["seeds"] = group["seed"].nunique()
    row["truth"] = SLICES if mine["volume"].notna().any() else "image"
    for name in _METRICS:
        row |= {name: images[name].mean(), f"{name}_std": images[name].std()}
    row |= good.groupby(_IMAGE)[["nfe_forward", "nfe_vjp", "seconds"]].first().mean().to_dict()
    row |= {"units": good["unit"].nunique(), **spread_numbers(good)}
    row["flagged"] = int((good["flags"].map(len) > 0).sum())
    of_seeds = good.groupby("image_id")["seed"].nunique()
    remarks = [
        _failed(group, len(asked) - len(restored), len(asked)),
        _counted(int((of_seeds < row["seeds"]).sum()), len(images), "without some of the seeds"),
        unfinished,
    ]
    row["incomplete"] = any(remarks)
    without = int(images["psnr"].isna().sum())
    for sentence, count in good["warnings"].explode().dropna().value_counts().head(2).items():
        remarks.append(f"{count} of {len(good)}: {sentence}")
    if levels := sorted(good["prepared_noise_std"].dropna().unique()):
        remarks.append(f"noise as requested, {noise_text(levels)} in the data")
    remarks.append(_counted(without, len(images), "without a truth") if without < len(images) else "")
    reasons = ", ".join(sorted(set(good["flags"].explode().dropna())))
    what = "samples" if estimate == "sample" else "estimates"
    remarks.append(_counted(row["flagged"], len(good), f"{what} flagged ({reasons})"))
    return row | {"status": "; ".join(filter(None, remarks)) or "ok"}, images["psnr"]


def _image_means(records: pd.DataFrame) -> pd.DataFrame:
    """Return the mean metrics of every image over its seeds and its samples, the latter by their weights."""
    by_image = ["unit", "image_id"]
    if records["weight"].isna().all():
        return records.groupby(by_image)[_METRICS].mean()
    numbers, weights = records[_METRICS], records["weight"].astype(float)
    weighted, known = (
        table.mul(weights, axis=0).assign(unit=records["unit"]).groupby(by_image).sum()
        for table in (numbers, numbers.notna())
    )
    return weighted / known


def _counted(count: int, of: int, what: str) -> str:
    return f"{count} of {of} {what}" if count else ""


def _failed(group: pd.DataFrame, failed: int, asked: int) -> str:
    if not failed:
        return ""
    reasons = sorted({*group["status"]} - {"ok"}) or ["no record"]
    return f"{failed} of {asked} failed ({', '.join(reasons[:2])}{', ...' if len(reasons) > 2 else ''})"
