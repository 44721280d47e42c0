"""A table as it is displayed: its texts, in Markdown or CSV, and its remarks as notes below it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TypeGuard, TypeVar

import pandas as pd

from alps_exp.errors import one_line, printable
from alps_exp.files import write_atomically

DIGITS = 4
"""Significant digits of numbers in labels, unless these would not tell two numbers apart."""
NOTE = re.compile(r" \[(\d+)\]$")
"""What refers to a note, at the end of a cell."""
T = TypeVar("T", bound=Hashable)
_MOST_DIGITS = 17  # which tell any two numbers apart


@dataclass(frozen=True)
class DisplayTable:
    """A table as it is displayed.

    Attributes
    ----------
    texts
        The cells by the titles of their columns; one that ends in ``[1]`` refers to the first note.
    caption
        What the table shows, for LaTeX and the page.
    notes
        Remarks on rows, numbered from 1.
    """

    texts: pd.DataFrame
    caption: str
    notes: Sequence[str] = field(default_factory=list)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of a config, which may be anything, is a number that can be shown."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def noise_text(noise_std: float | list[float] | tuple[float, ...] | str | None) -> str:
    """Return the displayed noise level: a number, several numbers for joint measurements, - if unknown, or a text."""
    if noise_std is None:
        return "-"
    if isinstance(noise_std, str):
        return noise_std
    levels = noise_std if isinstance(noise_std, list | tuple) else [noise_std]
    return ", ".join(f"{eta:.{DIGITS}g}" for eta in levels)


def distinct_texts(values: Iterable[T], text: Callable[[T, int], str]) -> dict[T, str]:
    """Return texts with numbers of `DIGITS` significant digits, or of as many as tell the values apart.

    Parameters
    ----------
    values
        What to write.
    text
        Writes a value with so many significant digits.
    """
    different = dict.fromkeys(values)
    texts: dict[T, str] = {}
    for digits in range(DIGITS, _MOST_DIGITS + 1):
        texts = {value: text(value, digits) for value in different}
        if len(set(texts.values())) == len(texts):
            break
    return texts


def bold(text: str) -> str:
    """Mark a text as bold for both layouts."""
    return f"**{text}**"


def formatted(column: pd.Series, form: str) -> pd.Series:
    """Format the numbers of a column, with ``-`` for missing ones."""
    return column.map(lambda value: "-" if pd.isna(value) else format(value, form)).astype(str)


def csv_table(table: pd.DataFrame) -> str:
    """Return a table as CSV with all digits and whole texts, of which none is a formula for a spreadsheet."""
    return str(table.map(_csv_value).rename(columns=_csv_value).to_csv(index=False))


def write_forms(stem: Path, table: pd.DataFrame, markdown: str, latex: str | None = None) -> list[Path]:
    """Write a table as Markdown, as CSV with all digits and, if given, as LaTeX; return their paths.

    Parameters
    ----------
    stem
        Path of the files without their suffix.
    table
        The numbers.
    markdown, latex
        The table as it is displayed.
    """
    texts = {".md": markdown, ".csv": csv_table(table)} | ({} if latex is None else {".tex": latex})
    for suffix, text in texts.items():
        write_atomically(stem.with_suffix(suffix), text.encode())
    return [stem.with_suffix(suffix) for suffix in texts]


def _csv_value(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(re.sub(r"[\t\r\n]", " ", value))
    return f"'{text}" if len(text) > 1 and text.lstrip().startswith(("=", "+", "-", "@")) else text


def markdown_text(text: str) -> str:
    """Return a text for Markdown in one line (`one_line`), in which nothing is HTML, a link, or the end of a cell."""
    return escape(one_line(text), quote=False).replace("|", r"\|").replace("](", r"]\(")


def footnotes(statuses: Iterable[str], words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return a word on each row with the number of its note, and the notes: each status that is not ``ok``, once."""
    notes: dict[str, int] = {}
    cells = []
    for status, word in zip(statuses, words, strict=True):
        cells.append("ok" if status == "ok" else f"{word} [{notes.setdefault(status, len(notes) + 1)}]")
    return cells, list(notes)


def markdown_table(table: DisplayTable) -> str:
    """Return a table in Markdown, its columns aligned for reading as plain text, and its notes as a list."""
    lines = [list(table.texts.columns), *table.texts.to_numpy().tolist()]
    lines = [list(map(markdown_text, line)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    notes = "".join(f"{number}. {markdown_text(note)}\n" for number, note in enumerate(table.notes, 1))
    return "".join(f"| {' | '.join(line)} |\n" for line in padded) + (f"\n{notes}" if notes else "")
