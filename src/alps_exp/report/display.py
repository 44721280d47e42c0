"""The table of restorations as it is displayed: which columns, their texts, and remarks as notes.

Bold marks the best mean PSNR and SSIM (highest), NMSE and LPIPS (lowest) of a task and noise level at the displayed
precision, separately among samples and among the other estimates. At least two complete rows over the task's images
must compete. A row with a flagged estimate is never bold; the best of the others is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from alps_exp.intervals import LEAST
from alps_exp.report.latex import latex_table
from alps_exp.report.layout import (
    NOTE,
    DisplayTable,
    bold,
    distinct_texts,
    footnotes,
    formatted,
    markdown_table,
    noise_text,
    write_forms,
)
from alps_exp.report.table import SLICES

METRICS = {"psnr": ".2f", "ssim": ".3f", "nmse": ".4f", "lpips": ".3f"}
_LOWEST = ("nmse", "lpips")
TITLES = {
    "task": "Task",
    "noise_std": "Noise",
    "sampler": "Sampler",
    "estimate": "Estimate",
    "images": "Images",
    "seeds": "Seeds",
    "samples": "Samples",
    "truth": "Truth",
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "nmse": "NMSE",
    "lpips": "LPIPS",
    "spread_error": "Spread/error",
    "spread_error_noiseless": "Without last noise",
    "spread_error_per_image": "Spread/error per image",
    "calls": "Calls",
    "seconds": "Seconds",
    "paper_psnr": "Paper PSNR",
    "paper_ssim": "Paper SSIM",
    "paper_data": "Paper data",
    "difference": "Difference [dB]",
    "difference_median": "Median difference [dB]",
    "difference_p": "p (t-test)",
    "difference_sign_p": "p (sign test)",
    "status": "Status",
}
"""Columns by name, in their order."""
_DIFFERENCES = [name for name in TITLES if name.startswith("difference")]
_BEST = (
    "Bold is the best of a task and noise level among complete, unflagged rows over the same images, separately for "
    "samples and for other estimates."
)
_UNIT = f"of which there must be {LEAST}; the slices of a volume count as one"
_P = "p-values are two-sided, corrected by Holm for all comparisons of the table."
_EXPLAINED = {
    "spread_error": "Spread/error, the spread-skill ratio, is 1 if the spread is calibrated.",
    "spread_error_noiseless": "Without last noise, it leaves out what the last step drew.",
    "spread_error_per_image": f"Per image, all images add alike; 95 % interval over n independent images, {_UNIT}.",
    "calls": "Calls are forward passes + vector-Jacobian products a sample.",
    "seconds": "Seconds are those of an image with all its samples.",
    "difference": f"Differences are means with Student's 95 % interval over n independent images, {_UNIT}.",
    "difference_median": f"Median differences have the sign test's 95 % interval over n independent images, {_UNIT}.",
    "difference_p": _P,
    "difference_sign_p": _P,
}

Names = str | Sequence[str] | None
"""Names, a single one, or None for the default."""


def check_display(columns: Names, metrics: Names) -> None:
    """Check a choice of columns and metrics.

    Parameters
    ----------
    columns, metrics
        As in `display_table`.

    Raises
    ------
    ValueError
        If a name is unknown or given twice, none is given, or `columns` has a metric that `metrics` leaves out.
    """
    _check_names("columns", columns, TITLES)
    _check_names("metrics", metrics, METRICS)
    if columns is not None and metrics is not None:
        left_out = [name for name in _listed(columns) if name in METRICS and name not in _listed(metrics)]
        if left_out:
            raise ValueError(f"columns has {left_out[0]}, which metrics leaves out: give one of the two")


def _check_names(key: str, names: Names, known: dict[str, str]) -> None:
    if names is None:
        return
    given = _listed(names)
    wrong = [name for position, name in enumerate(given) if name not in known or name in given[:position]]
    if wrong or not given:
        raise ValueError(f"{key} is {', '.join(given) or 'empty'}, expected some of {', '.join(known)}, each once")


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def display_table(table: pd.DataFrame, columns: Names = None, metrics: Names = None) -> DisplayTable:
    """Return a table as it is displayed: means, with standard deviations if there are several images.

    Remarks on rows are notes, to which the column ``status`` refers, or the first column where that one is not
    displayed (other than task and noise): no choice of columns hides a flag.

    Parameters
    ----------
    table
        A table of `alps_exp.report.build_table`.
    columns
        Names of columns, see `TITLES`, in the order in which to show them; None: all that tell something.
    metrics
        Which of ``psnr``, ``ssim``, ``nmse`` and ``lpips``; None: all that were measured.

    Raises
    ------
    ValueError
        As `check_display`, or if the table has no such column since no paper or reference was given.
    """
    check_display(columns, metrics)
    names = _default_columns(table, metrics) if columns is None else _listed(columns)
    if missing := [name for name in names if name.startswith("paper_") and name not in table]:
        raise ValueError(f"columns has {missing[0]}, and there are no published numbers: give paper=FILE")
    if missing := [name for name in names if name in _DIFFERENCES and name not in table]:
        raise ValueError(f"columns has {missing[0]}, and there is no difference: give reference=SAMPLER")
    words, notes = footnotes(table["status"], map(_word, table.to_dict("records")))
    texts = pd.DataFrame({TITLES[name]: words if name == "status" else _text(table, name) for name in names})
    if "status" not in names:
        marked = TITLES[next((name for name in names if name not in ("task", "noise_std")), names[0])]
        texts[marked] += [found[0] if (found := NOTE.search(word)) else "" for word in words]
    best = _BEST if any(name in METRICS for name in names) else ""
    explained = dict.fromkeys(sentence for name, sentence in _EXPLAINED.items() if name in names)
    caption = " ".join(filter(None, ["Restored images: means ± standard deviations over images.", best, *explained]))
    return DisplayTable(texts, caption, notes)


def _default_columns(table: pd.DataFrame, metrics: Names) -> list[str]:
    """Return all columns but those that say nothing, with the chosen metrics, or those that were measured."""
    measured = [name for name in METRICS if name != "lpips" or table[name].notna().any()]
    chosen = measured if metrics is None else _listed(metrics)
    without = {
        "seeds": not table["seeds"].gt(1).any(),
        "truth": not table["truth"].eq(SLICES).any(),
        "paper_psnr": "paper_psnr" not in table,
        "paper_ssim": "paper_psnr" not in table,
        "paper_data": "paper_psnr" not in table,
        "spread_error_noiseless": table["spread_error_noiseless"].isna().all(),
        "spread_error_per_image": True,
        **dict.fromkeys(_DIFFERENCES, "difference" not in table),
    }
    names = [name for name in TITLES if name not in METRICS and not without.get(name)]
    place = names.index("spread_error")
    return [*names[:place], *chosen, *names[place:]]


def _word(row: dict[str, object]) -> str:
    """Return in a word or two what is to be known of a row."""
    if not isinstance(row["estimate"], str):  # a run without records
        return str(row["status"]).partition(":")[0]
    words = {"incomplete": row["incomplete"], "flagged": row["flagged"]}
    return ", ".join(word for word, holds in words.items() if holds) or "note"


def _text(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the texts of a column."""
    if name == "noise_std":
        return noise_texts(table["noise_std"])
    if name in METRICS:
        return _best_in_bold(table, name)
    if name in ("paper_psnr", "paper_ssim"):
        return _mean_and_deviation(table, name.removeprefix("paper_"), "paper_")
    if name == "calls":
        calls = formatted(table["nfe_forward"], ".0f") + "+" + formatted(table["nfe_vjp"], ".0f")
        return calls.replace("-+-", "-")
    if name in ("difference", "difference_median"):
        return _with_interval(table, name, "+.2f", "pairs")
    if name == "spread_error_per_image":
        return _with_interval(table, name, ".2f", "units")
    if name in _DIFFERENCES:
        return formatted(table[f"{name}_holm"], ".3f").replace("0.000", "<0.001")
    forms = {"images": "d", "seeds": "d", "samples": "d", "seconds": ".3g"}
    forms |= {"spread_error": ".2f", "spread_error_noiseless": ".2f"}
    return formatted(table[name], forms[name]) if name in forms else table[name].fillna("-").astype(str)


def noise_texts(noise: pd.Series) -> pd.Series:
    """Return noise levels with four digits, or as many as tell them apart."""
    levels = distinct_texts(
        (level for level in noise if not isinstance(level, str) and not pd.isna(level)),
        lambda level, digits: format(level, f".{digits}g"),
    )
    return noise.map(lambda level: level if isinstance(level, str) else levels.get(level, noise_text(None))).astype(str)


def _with_interval(table: pd.DataFrame, name: str, form: str, over: str) -> pd.Series:
    """Return the texts of numbers with their intervals, if they have any, and what these are over, by its column."""
    low, high = (formatted(table[f"{name}_{end}"], form) for end in ("low", "high"))
    interval = (" [" + low + ", " + high + "]").where(table[f"{name}_low"].notna(), "")
    count = (" (n = " + formatted(table[over], "d") + ")").where(table[name].notna(), "")
    return formatted(table[name], form) + interval + count


def _best_in_bold(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the formatted values of a metric, with the best of each comparison in bold (see the module docstring)."""
    texts = _mean_and_deviation(table, name)
    competing = table[table[name].notna() & table["compared"].fillna(False).astype(bool)]
    kinds = [competing["task"], competing["noise_std"].map(str), competing["estimate"] == "sample"]
    for _, rows in competing.groupby(kinds):
        shown = rows.loc[rows["flagged"] == 0, name].map(lambda value: float(format(value, METRICS[name])))
        best = shown.min() if name in _LOWEST else shown.max()
        if len(rows) > 1:
            texts[shown.index[shown == best]] = texts[shown.index[shown == best]].map(bold)
    return texts


def _mean_and_deviation(table: pd.DataFrame, name: str, prefix: str = "") -> pd.Series:
    deviation = " ± " + formatted(table[f"{prefix}{name}_std"], METRICS[name])
    return formatted(table[prefix + name], METRICS[name]) + deviation.replace(" ± -", "")


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown, its columns aligned for reading as plain text.

    Parameters
    ----------
    table
        A table of `alps_exp.report.build_table`.
    """
    return markdown_table(display_table(table))


def to_latex(table: pd.DataFrame) -> str:
    r"""Return a table in LaTeX, grouped by task, which needs ``\usepackage{booktabs,graphicx}``.

    Parameters
    ----------
    table
        A table of `alps_exp.report.build_table`.
    """
    return latex_table(display_table(table), "restoration")


def write_tables(table: pd.DataFrame, folder: Path, displayed: DisplayTable | None = None) -> list[Path]:
    """Write `table.md`, `table.csv` (all columns and digits) and `table.tex` into a folder, and return their paths.

    Parameters
    ----------
    table
        A table of `alps_exp.report.build_table`.
    folder
        Folder for the files.
    displayed
        The table as it is displayed in Markdown and LaTeX; None: with its default columns.
    """
    shown = displayed or display_table(table)
    return write_forms(folder / "table", table, markdown_table(shown), latex_table(shown, "restoration"))
