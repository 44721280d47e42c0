"""Collects the records of any number of runs into one table, with a row per task, noise level, sampler and estimate.

Every image counts once: its samples and seeds are averaged first, then the table gives mean and standard deviation over
images. Runs that differ in more than the seed get separate rows. Failed images, images without a seed or a ground
truth, flagged estimates and unfinished runs are never left out silently: the ``status`` of a row counts them. A run
without records gets its own row, even if a sweep requested it and it never started.

Each task and noise level has one set of images: the set for which the most samplers have complete rows, and among
these the largest (`alps_exp.report.comparison`). The status of a row over other images says so.

Bold marks the best mean PSNR and SSIM (highest), NMSE and LPIPS (lowest) of a task and noise level at the displayed
precision, separately among samples and among the other estimates. At least two complete rows over the task's images
must compete. A row with a flagged estimate is never bold; the best of the others is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from alps_exp.files import write_atomically
from alps_exp.report.comparison import Images, Row, compared, draws_images, images_of, settings_of, unlike
from alps_exp.report.layout import bold, formatted, latex_table, markdown_table, noise_text
from alps_exp.report.order import sampler_order
from alps_exp.report.paired import paired_difference
from alps_exp.report.paper import published, read_paper
from alps_exp.runs import ESTIMATES, RunFolder

_IMAGE = ["run", "image_id"]
_METRICS = {"psnr": ".2f", "ssim": ".3f", "nmse": ".4f", "lpips": ".3f"}
_TITLES = {"psnr": "PSNR [dB]", "ssim": "SSIM", "nmse": "NMSE", "lpips": "LPIPS"}
_LOWEST = ("nmse", "lpips")
_NUMBERS = [*_METRICS, "spread", "error", "nfe_forward", "nfe_vjp", "seconds"]
_PAPER = ["paper_psnr", "paper_psnr_std", "paper_ssim", "paper_ssim_std", "paper_data"]
_DIFFERENCE = ["difference", "difference_low", "difference_high", "difference_p", "pairs"]
_COLUMNS = [
    "task",
    "noise_std",
    "sampler",
    "estimate",
    "images",
    "seeds",
    "samples",
    *(column for name in _METRICS for column in (name, f"{name}_std")),
    "spread_error",
    "nfe_forward",
    "nfe_vjp",
    "seconds",
    "flagged",
    "incomplete",
    "compared",
    "status",
]


def find_runs(paths: Iterable[str | Path]) -> list[RunFolder]:
    """Find the runs that restore images in and below the given folders, each once, sorted by path.

    They have records, a start, or at least the config of a run that was asked for and never began.

    Parameters
    ----------
    paths
        Run folders, or folders above them.

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
    runs = [run for run in map(RunFolder, sorted(found)) if _restores_images(run)]
    if not runs:
        raise ValueError(f"no records.jsonl in or below {', '.join(map(str, roots)) or 'no folder at all'}")
    return runs


def _restores_images(run: RunFolder) -> bool:
    if (run.path / "records.jsonl").exists():
        return True
    return run.images_asked() is not None if run.starts() else bool(_labels(run))


def _labels(run: RunFolder) -> dict[str, object]:
    """Return the labels in the config of a run; empty if `config.yaml` is not a config of ours, such as a W&B file."""
    try:
        labels = run.load_config().get("labels")
    except ValueError:
        return {}
    return labels if isinstance(labels, dict) and "task" in labels else {}


def _operator(run: RunFolder) -> dict[str, object]:
    """Return the operator in the config of a run; empty if there is none."""
    operator = run.load_config().get("operator")
    return operator if isinstance(operator, dict) else {}


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
        ``samples`` (posterior samples an image), ``psnr``, ``ssim``, ``nmse``, ``lpips`` and their standard deviations
        over images ``psnr_std`` ... (NaN for one image), ``spread_error`` (root of the summed squares of
        spread over that of error), ``nfe_forward`` and ``nfe_vjp`` (network calls a sample), ``seconds`` an
        image, ``flagged`` (how many estimates are, see `alps_exp.evaluation.estimate_flags`), ``incomplete`` and
        ``compared`` (whether images are missing, and whether the row compares with the others of its task, see the head
        of this file), and ``status``: ``ok``, or what there is to know of the row. A run without any record has a row
        of its own, whose status names its folder. With `paper` there are ``paper_psnr``, ..., with `reference`
        ``difference``, its interval ``difference_low`` to ``difference_high``, the p-value ``difference_p`` of none,
        and ``pairs``, on how many images
        (`alps_exp.report.paired`); samples are compared with samples, other estimates with the reference's other one.

    Raises
    ------
    FileNotFoundError
        If a folder or `paper` is not there.
    ValueError
        If there are no runs, a line of a `records.jsonl` is not a record, or no run is of the reference.
    """
    runs = find_runs(paths)
    records = {str(run.path): run.records() for run in runs}
    lines = [vars(record) | {"run": path} for path, found in records.items() for record in found]
    rows = [_row_without_records(run) for run in runs if not records[str(run.path)]]
    published_numbers = read_paper(paper) if paper else None
    psnr: list[pd.Series] = []
    images: list[Images] = []
    if lines:
        frame = pd.DataFrame(lines).astype(dict.fromkeys(_NUMBERS, float))
        frame["noise_std"] = frame["noise_std"].map(_plain_noise)
        of_runs, psnr, images = _rows(frame, {str(run.path): run for run in runs}, seeds, published_numbers)
        rows = _compared(of_runs, images) + rows
    columns = [*_COLUMNS[:-1], *(_PAPER if paper else []), *(_DIFFERENCE if reference else []), "status"]
    if reference:
        _subtract(rows, psnr, images, reference)
    table = pd.DataFrame(rows, columns=columns)
    counts = [name for name in ("images", "seeds", "samples", "flagged", "pairs") if name in table]
    return table.astype(dict.fromkeys(counts, "Int64"))


def _row_without_records(run: RunFolder) -> Row:
    """Return the row of a run without records."""
    labels, noise_std = _labels(run), _operator(run).get("noise_std")
    return {
        "task": labels.get("task", str(run.path)),
        "noise_std": noise_std if isinstance(noise_std, int | float) else None,
        "sampler": labels.get("sampler"),
        "status": f"{'no records' if run.starts() else 'not begun'}: {run.path.name}",
    }


def _plain_noise(noise_std: float | list[float] | None) -> float | str:
    """Return the noise level as a number, or as text for several measurements or none, so that it can be grouped by."""
    return noise_std if isinstance(noise_std, int | float) else noise_text(noise_std)


def _rows(
    frame: pd.DataFrame, runs: Mapping[str, RunFolder], seeds: str, paper: pd.DataFrame | None
) -> tuple[list[Row], list[pd.Series], list[Images]]:
    """Return the rows, and for each the PSNR of its images, and what these are."""
    groups = dict(iter(frame.groupby(["task", "noise_std", "sampler"])))
    rows, psnr, images = [], [], []
    for task, noise_std, sampler in sorted(groups, key=_row_order):
        for label, group in _split(groups[task, noise_std, sampler], runs, seeds):
            key = {"task": task, "noise_std": noise_std, "sampler": sampler + label}
            if paper is not None:
                settings = _operator(runs[group["run"].iloc[0]])
                key |= published(paper, task, group["operator"].iloc[0], settings, noise_std, sampler)
            unfinished = _unfinished(group, runs)
            of_runs = images_of([runs[path] for path in group["run"].unique()])
            for estimate in ESTIMATES:
                if (group["estimate"] == estimate).any():
                    row, of_images = _row(group, estimate, unfinished)
                    rows.append(key | row)
                    psnr.append(of_images)
                    judged = frozenset(of_images.dropna().index)
                    images.append(replace(of_runs, ids=frozenset(of_images.index), judged=judged))
    return rows, psnr, images


def _compared(rows: Sequence[Row], images: Sequence[Images]) -> list[Row]:
    """Add ``compared`` to the rows, and a remark to the status of rows over other images."""
    marked = []
    for row, (same, remark) in zip(rows, compared(rows, images), strict=True):
        status = "; ".join(filter(None, [row["status"] if row["status"] != "ok" else "", remark])) or "ok"
        marked.append(row | {"compared": same and not row["incomplete"], "status": status})
    return marked


def _row_order(key: tuple[str, float | str, str]) -> tuple[object, ...]:
    task, noise_std, sampler = key
    return (task, isinstance(noise_std, str), noise_std, sampler_order(sampler))


def _split(group: pd.DataFrame, runs: Mapping[str, RunFolder], seeds: str) -> Iterator[tuple[str, pd.DataFrame]]:
    for label, part in variants(group, runs):
        if seeds == "mean" or part["seed"].nunique() == 1:
            yield label, part
        else:
            yield from ((f"{label} (seed={seed})", of_seed) for seed, of_seed in part.groupby("seed"))


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


def _kind(row: Row) -> tuple[object, ...]:
    return row["task"], row["noise_std"], row["estimate"] == "sample"


def variants(group: pd.DataFrame, runs: Mapping[str, RunFolder]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Split records by what their runs' configs differ in beside the seed, and name each part by its settings.

    The seed counts too where it drew the images: the same id is another image then.

    Yields each part with its name, empty where nothing differs; a column ``run`` has the paths of `runs`.
    """
    configs = {path: settings_of(runs[path]) for path in group["run"].unique()}
    drawn = any(draws_images(config) for config in configs.values())
    keys = sorted({key for config in configs.values() for key in config} - (set() if drawn else {"seed"}))
    differing = [key for key in keys if len({config.get(key) for config in configs.values()}) > 1]
    labels = {path: _label(config, differing) for path, config in configs.items()}
    for label, part in group.groupby(group["run"].map(labels)):
        yield str(label), part


def _label(config: Mapping[str, str], keys: Sequence[str]) -> str:
    settings = [f"{key.removeprefix('sampler.')}={config.get(key, 'absent').strip(chr(34))}" for key in keys]
    return f" ({', '.join(settings)})" if settings else ""


def _unfinished(group: pd.DataFrame, runs: Mapping[str, RunFolder]) -> str:
    """Describe how many of the requested images exist if a run of the group has not finished."""
    mine = [runs[path] for path in group["run"].unique()]
    if all(run.is_done() for run in mine):
        return ""
    there = {path: part["image_id"].nunique() for path, part in group.groupby("run")}
    asked = sum(run.images_asked() or there[str(run.path)] for run in mine)
    return f"unfinished: {sum(there.values())} of {asked} images"


def _row(group: pd.DataFrame, estimate: str, unfinished: str) -> tuple[Row, pd.Series]:
    mine = group[group["estimate"] == estimate].set_index(_IMAGE)
    asked = pd.MultiIndex.from_frame(group[_IMAGE]).unique()
    bad = mine.index[mine["status"] != "ok"].unique()
    restored = mine.index.unique().difference(bad)
    good = mine.loc[mine.index.isin(restored)]
    images = good.groupby("image_id")[list(_METRICS)].mean()
    row = {"estimate": estimate, "images": len(images), "samples": mine["num_samples"].max()}
    row["seeds"] = group["seed"].nunique()
    for name in _METRICS:
        row |= {name: images[name].mean(), f"{name}_std": images[name].std()}
    row |= good.groupby(_IMAGE)[["nfe_forward", "nfe_vjp", "seconds"]].first().mean().to_dict()
    squares = good[["spread", "error"]].dropna().pow(2).sum(min_count=1)
    row["spread_error"] = (squares["spread"] / squares["error"]) ** 0.5
    row["flagged"] = int((good["flags"].map(len) > 0).sum())
    of_seeds = good.groupby("image_id")["seed"].nunique()
    remarks = [
        _failed(group, len(asked) - len(restored), len(asked)),
        _counted(int((of_seeds < row["seeds"]).sum()), len(images), "without some of the seeds"),
        unfinished,
    ]
    row["incomplete"] = any(remarks)
    without = int(images["psnr"].isna().sum())
    remarks.append(_counted(without, len(images), "without a truth") if without < len(images) else "")
    reasons = ", ".join(sorted(set(good["flags"].explode().dropna())))
    what = "samples" if estimate == "sample" else "estimates"
    remarks.append(_counted(row["flagged"], len(good), f"{what} flagged ({reasons})"))
    return row | {"status": "; ".join(filter(None, remarks)) or "ok"}, images["psnr"]


def _counted(count: int, of: int, what: str) -> str:
    return f"{count} of {of} {what}" if count else ""


def _failed(group: pd.DataFrame, failed: int, asked: int) -> str:
    if not failed:
        return ""
    reasons = sorted({*group["status"]} - {"ok"}) or ["no record"]
    return f"{failed} of {asked} failed ({', '.join(reasons[:2])}{', ...' if len(reasons) > 2 else ''})"


def _texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as displayed: means, with standard deviations if there are several images."""
    several = table["seeds"].gt(1).any()
    texts = {
        "Task": table["task"],
        "Noise": table["noise_std"].map(lambda noise: noise if isinstance(noise, str) else _number(noise)).astype(str),
        "Sampler": table["sampler"].fillna("-"),
        "Estimate": table["estimate"].fillna("-"),
        "Images": formatted(table["images"], "d"),
        **({"Seeds": formatted(table["seeds"], "d")} if several else {}),
        "Samples": formatted(table["samples"], "d"),
        **{title: _best_in_bold(table, name) for name, title in _TITLES.items() if _is_shown(table, name)},
        "Spread/error": formatted(table["spread_error"], ".2f"),
        "Calls": formatted(table["nfe_forward"], ".0f") + "+" + formatted(table["nfe_vjp"], ".0f"),
        "Seconds": formatted(table["seconds"], ".3g"),
        **(_paper_texts(table) if "paper_psnr" in table else {}),
        **({"Difference [dB]": _difference_text(table)} if "difference" in table else {}),
        "Status": table["status"],
    }
    return pd.DataFrame(texts).replace({"-+-": "-"})


def _is_shown(table: pd.DataFrame, name: str) -> bool:
    """Return whether a metric has a column: LPIPS only if it was computed."""
    return name != "lpips" or table[name].notna().any()


def _number(noise_std: float) -> str:
    return "-" if pd.isna(noise_std) else noise_text(noise_std)


def _paper_texts(table: pd.DataFrame) -> dict[str, pd.Series]:
    texts = {f"Paper {name.upper()}": _mean_and_deviation(table, name, "paper_") for name in ("psnr", "ssim")}
    return texts | {"Paper data": table["paper_data"].fillna("-").astype(str)}


def _difference_text(table: pd.DataFrame) -> pd.Series:
    low, high, pairs = (
        formatted(table[name], form)
        for name, form in (("difference_low", "+.2f"), ("difference_high", "+.2f"), ("pairs", "d"))
    )
    several = table["difference_low"].notna()
    interval = (" [" + low + ", " + high + "] on " + pairs).where(several, "")
    return formatted(table["difference"], "+.2f") + interval


def _best_in_bold(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the formatted values of a metric, with the best of each comparison in bold (see the module docstring)."""
    texts = _mean_and_deviation(table, name)
    competing = table[table[name].notna() & table["compared"].fillna(False).astype(bool)]
    kinds = [competing["task"], competing["noise_std"].map(str), competing["estimate"] == "sample"]
    for _, rows in competing.groupby(kinds):
        shown = rows.loc[rows["flagged"] == 0, name].map(lambda value: float(format(value, _METRICS[name])))
        best = shown.min() if name in _LOWEST else shown.max()
        if len(rows) > 1:
            texts[shown.index[shown == best]] = texts[shown.index[shown == best]].map(bold)
    return texts


def _mean_and_deviation(table: pd.DataFrame, name: str, prefix: str = "") -> pd.Series:
    deviation = " ± " + formatted(table[f"{prefix}{name}_std"], _METRICS[name])
    return formatted(table[prefix + name], _METRICS[name]) + deviation.replace(" ± -", "")


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown, its columns aligned for reading as plain text.

    Parameters
    ----------
    table
        A table of `build_table`.
    """
    return markdown_table(_texts(table))


def to_latex(table: pd.DataFrame) -> str:
    r"""Return a table as a LaTeX ``tabular``, which needs ``\usepackage{booktabs}``.

    Parameters
    ----------
    table
        A table of `build_table`.
    """
    texts = _texts(table)
    left = ("Task", "Sampler", "Estimate", "Paper data", "Status")
    return latex_table(texts, "".join("l" if name in left else "r" for name in texts.columns))


def write_tables(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `table.md`, `table.csv` (all digits) and `table.tex` into a folder, and return their paths.

    Parameters
    ----------
    table
        A table of `build_table`.
    folder
        Folder for the files.
    """
    texts = {"md": to_markdown(table), "csv": table.to_csv(index=False), "tex": to_latex(table)}
    for suffix, text in texts.items():
        write_atomically(folder / f"table.{suffix}", text.encode())
    return [folder / f"table.{suffix}" for suffix in texts]
