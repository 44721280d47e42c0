"""A table of texts in Markdown or LaTeX."""

from __future__ import annotations

import re
import sys
from html import escape
from typing import TypeGuard

import pandas as pd

from alps_exp.errors import one_line, printable

_LONGEST_LABEL = 200  # characters
_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of a config, which may be anything, is a number that can be shown."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def noise_text(noise_std: float | list[float] | tuple[float, ...] | None) -> str:
    """Return the displayed noise level: a number, several numbers for joint measurements, or - if unknown."""
    if noise_std is None:
        return "-"
    return ", ".join(f"{eta:g}" for eta in noise_std) if isinstance(noise_std, list | tuple) else f"{noise_std:g}"


def bold(text: str) -> str:
    """Mark a text as bold for both layouts."""
    return f"**{text}**"


def formatted(column: pd.Series, form: str) -> pd.Series:
    """Format the numbers of a column, with ``-`` for missing ones."""
    return column.map(lambda value: "-" if pd.isna(value) else format(value, form)).astype(str)


def csv_table(table: pd.DataFrame) -> str:
    """Return a table as CSV with all digits and whole texts, of which none is a formula for a spreadsheet."""
    return str(table.map(_csv_value).rename(columns=_csv_value).to_csv(index=False))


def _csv_value(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(re.sub(r"[\t\r\n]", " ", value))
    return f"'{text}" if len(text) > 1 and text.lstrip().startswith(("=", "+", "-", "@")) else text


def label_text(text: object) -> str:
    """Return a text as a label of a figure, in one line that is not too long, and in which nothing is a formula."""
    return one_line(str(text), _LONGEST_LABEL).replace("$", r"\$")


def markdown_text(text: str) -> str:
    """Return a text for Markdown in one line (`one_line`), in which nothing is HTML, a link, or the end of a cell."""
    return escape(one_line(text), quote=False).replace("|", r"\|").replace("](", r"]\(")


def markdown_table(texts: pd.DataFrame) -> str:
    """Return a table of texts in Markdown, its columns aligned for reading as plain text."""
    lines = [list(texts.columns), *texts.to_numpy().tolist()]
    lines = [list(map(markdown_text, line)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def latex_table(texts: pd.DataFrame, alignment: str) -> str:
    r"""Return a table of texts as a LaTeX ``tabular``, which needs ``\usepackage{booktabs}``."""
    head, *body = [
        " & ".join(_latex(one_line(str(text))) for text in line) + r" \\"
        for line in [texts.columns, *texts.to_numpy().tolist()]
    ]
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}", ""])


def _latex(text: str) -> str:
    marked = re.fullmatch(r"\*\*(.*)\*\*", text)
    return rf"\textbf{{{marked[1].translate(_LATEX)}}}" if marked else text.translate(_LATEX)
