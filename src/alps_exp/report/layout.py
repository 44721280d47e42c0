"""A table of texts in Markdown or LaTeX."""

from __future__ import annotations

import re

import pandas as pd

_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
)


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


def markdown_table(texts: pd.DataFrame) -> str:
    """Return a table of texts in Markdown, its columns aligned for reading as plain text."""
    lines = [list(texts.columns), *texts.to_numpy().tolist()]
    lines = [[text.replace("|", r"\|") for text in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def latex_table(texts: pd.DataFrame, alignment: str) -> str:
    r"""Return a table of texts as a LaTeX ``tabular``, which needs ``\usepackage{booktabs}``."""
    head, *body = [
        " & ".join(_latex(str(text)) for text in line) + r" \\" for line in [texts.columns, *texts.to_numpy().tolist()]
    ]
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}", ""])


def _latex(text: str) -> str:
    marked = re.fullmatch(r"\*\*(.*)\*\*", text)
    return rf"\textbf{{{marked[1].translate(_LATEX)}}}" if marked else text.translate(_LATEX)
