"""A long table at a glance: a line a task, a column a sampler."""

from __future__ import annotations

import pandas as pd

from alps_exp.report.display import TITLES, display_table, noise_texts
from alps_exp.report.layout import NOTE, DisplayTable, markdown_table

KEYS = ["task", "noise_std"]
MOST_ROWS = 24
"""Rows of a table that are printed one and all."""


def for_terminal(table: pd.DataFrame, displayed: DisplayTable) -> str:
    """Return a table in Markdown as it is displayed or, if it is long, its `overview`.

    Parameters
    ----------
    table
        A table of `alps_exp.report.build_table`.
    displayed
        The same as it is displayed.
    """
    brief = overview(table) if len(table) > MOST_ROWS else None
    if brief is None:
        return markdown_table(displayed)
    return f"{markdown_table(brief)}\n{brief.caption} All {len(table)} rows and metrics are in the files."


def overview(table: pd.DataFrame) -> DisplayTable | None:
    """Return the PSNR of what is not a single sample, a line for each task and noise level, a column for each sampler.

    Remarks are notes, as in the table itself. None if a sampler has several rows of a task, as for every seed.

    Parameters
    ----------
    table
        A table of `alps_exp.report.build_table`.
    """
    means = table[table["estimate"] != "sample"].reset_index(drop=True)
    if means.duplicated([*KEYS, "sampler"]).any() or means.empty:
        return None
    shown = display_table(means, ["psnr", "status"])
    psnr, status = shown.texts[TITLES["psnr"]], shown.texts[TITLES["status"]]
    marks = [f" {found[0].strip()}" if (found := NOTE.search(word)) else "" for word in status]
    cells = pd.DataFrame(
        {
            TITLES["task"]: means["task"],
            TITLES["noise_std"]: noise_texts(means["noise_std"]),
            "sampler": means["sampler"],
            "text": psnr + marks,
        }
    )
    lines = cells.pivot(index=[TITLES[key] for key in KEYS], columns="sampler", values="text")
    texts = lines[list(dict.fromkeys(means["sampler"]))].fillna("-").rename_axis(columns=None).reset_index()
    return DisplayTable(texts, "PSNR [dB] of means, MAP and point estimates.", shown.notes)
