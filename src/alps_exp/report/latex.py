"""A table in LaTeX, in groups of rows by task and noise level, as papers print it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

import pandas as pd

from alps_exp.errors import one_line
from alps_exp.report.layout import NOTE, DisplayTable

_HEADINGS = {"Task": r"\textit{{{}}}", "Noise": "noise {}"}
"""Columns that are headings of groups of rows, and how these are written."""
_LINES_OF_PAGE = 40  # in footnotesize, on a page of the class article with caption and notes
_NUMBER = re.compile(r"(\*\*)?[-+<]?\d|-$")
_COMMANDS = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"[": "{[}", "*": "{*}"}  # which after the end of a row would be an argument of it
)
_SET_UP = frozenset("¡¿£§¶©®°µ·×÷æÆøØßœŒłŁı–—‘’“”…")
"""Characters that pdfLaTeX knows besides letters with an accent."""
_OGONEK = "0328"  # which pdfLaTeX's first font encoding lacks


def latex_table(table: DisplayTable, label: str) -> str:
    r"""Return a table in LaTeX, which needs ``\usepackage{booktabs,graphicx}``, with its notes below it.

    It is scaled down to the width of the text where it is wider. One of more rows than fit a page comes in parts.

    Parameters
    ----------
    table
        The table.
    label
        What ``\ref{tab:...}`` names; of a second part with ``-2`` at its end.
    """
    parts = list(_parts(_marked(table.texts)))
    floats = []
    for number, groups in enumerate(parts, 1):
        caption = latex_text(table.caption) + (f" Part {number} of {len(parts)}." if len(parts) > 1 else "")
        floats.append(_float(groups, table.notes, caption, label if number == 1 else f"{label}-{number}"))
    return "% Needs \\usepackage{booktabs,graphicx}.\n" + "\n".join(floats)


def _marked(texts: pd.DataFrame) -> pd.DataFrame:
    """Return the cells without the column ``Status``, and its references to notes in the first one that is left."""
    others = texts.drop(columns="Status", errors="ignore")
    names = [name for name in others if name not in _HEADINGS]
    if "Status" not in texts or not names:
        return texts
    marks = texts["Status"].map(lambda word: found[0] if (found := NOTE.search(word)) else "")
    return others.assign(**{names[0]: others[names[0]] + marks})


def _parts(texts: pd.DataFrame) -> Iterator[list[tuple[str, pd.DataFrame]]]:
    """Yield groups of rows with their headings, as many as fit a page."""
    part: list[tuple[str, pd.DataFrame]] = []
    lines = 0
    for heading, rows in _groups(texts):
        for first in range(0, max(len(rows), 1), _LINES_OF_PAGE):
            chunk = rows.iloc[first : first + _LINES_OF_PAGE]
            if part and lines + len(chunk) + 1 > _LINES_OF_PAGE:
                yield part
                part, lines = [], 0
            part.append((heading, chunk))
            lines += len(chunk) + 1
    yield part


def _groups(texts: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of each task and noise level with their heading; all of them if there is no such column."""
    by = [title for title in _HEADINGS if title in texts]
    others = texts.drop(columns=by)
    if not by or others.columns.empty or texts.empty:
        yield "", texts
        return
    for values, rows in others.groupby([texts[title] for title in by], sort=False):
        yield (
            ", ".join(_HEADINGS[title].format(latex_text(value)) for title, value in zip(by, values, strict=True)),
            rows,
        )


def _float(groups: Sequence[tuple[str, pd.DataFrame]], notes: Sequence[str], caption: str, label: str) -> str:
    shown = pd.concat([rows for _, rows in groups])
    titles = [latex_text(title) for title in shown.columns]
    aligned = "".join("r" if all(map(_NUMBER.match, column)) else "l" for _, column in shown.items())
    body = []
    for heading, rows in groups:
        body += [r"\midrule", *([rf"\multicolumn{{{len(titles)}}}{{@{{}}l}}{{{heading}}} \\"] if heading else [])]
        body += [" & ".join(map(latex_text, row)) + r" \\" for row in rows.to_numpy().tolist()]
    used = {int(found[1]) for cell in shown.to_numpy().ravel() if (found := NOTE.search(cell))}
    below = [rf"\textsuperscript{{{i}}}~{latex_text(notes[i - 1])}" for i in sorted(used)]
    return "\n".join(
        [
            r"\begin{table}[tbp]",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{label}}}",
            r"\footnotesize\setlength{\tabcolsep}{4pt}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{@{{}}{aligned}@{{}}}}",
            r"\toprule",
            " & ".join(titles) + r" \\",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            *(
                [r"\par\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize\raggedright {'; '.join(below)}.}}"]
                if below
                else []
            ),
            r"\end{table}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Return a text for LaTeX in one line, bold if it is marked so, with the number of its note raised."""
    line = one_line(text)
    if bold := re.fullmatch(r"\*\*(.*)\*\*", line):
        return rf"\textbf{{{latex_text(bold[1])}}}"
    if note := NOTE.search(line):
        return rf"{latex_text(line[: note.start()])}\textsuperscript{{{note[1]}}}"
    return "".join(map(_letter, line)).translate(_COMMANDS).replace("--", "-{}-")


def _letter(letter: str) -> str:
    """Return a letter, or the name of one that pdfLaTeX lacks."""
    parts = unicodedata.decomposition(letter).split()
    accented = "\u00c0" <= letter <= "\u017e" and len(parts) == 2 and parts[1] != _OGONEK and parts[0][0] != "<"
    return letter if letter.isascii() or letter == "±" or letter in _SET_UP or accented else f"U+{ord(letter):04X}"
