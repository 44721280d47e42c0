"""The page of `alps table`: one HTML file with its tables and a gallery, which loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from alps_exp import __version__
from alps_exp.errors import printable
from alps_exp.files import write_atomically
from alps_exp.report.gallery import LARGEST_SIDE, GalleryTask
from alps_exp.report.layout import NOTE, DisplayTable
from alps_exp.report.names import FLAGS

PAGE = "index.html"


@dataclass(frozen=True)
class Cell:
    """The text of a cell, whether it is bold, and the number of the note that it refers to."""

    text: str
    bold: bool
    note: str

    @classmethod
    def of(cls, text: str) -> Cell:
        """Return the cell of a `DisplayTable`."""
        note = NOTE.search(text)
        plain = text[: note.start()] if note else text
        bold = plain.startswith("**") and plain.endswith("**") and len(plain) > 4
        return cls(plain[2:-2] if bold else plain, bold, note[1] if note else "")


@dataclass(frozen=True)
class PageTable:
    """A table of the page.

    Attributes
    ----------
    title
        What stands above it.
    table
        The table.
    """

    title: str
    table: DisplayTable

    def rows(self) -> Iterator[list[Cell]]:
        """Yield the cells of each row."""
        yield from ([Cell.of(text) for text in row] for row in self.table.texts.to_numpy().tolist())


def write_page(tables: Sequence[PageTable], tasks: Sequence[GalleryTask], folder: Path) -> Path:
    """Write `index.html` into a folder, and return its path.

    Parameters
    ----------
    tables
        The tables, in their order.
    tasks
        The images of each task, see `alps_exp.report.gallery_tasks`.
    folder
        Folder for the page.
    """
    # Of all that the page shows, only these two files are taken as they are; the browser runs no other script.
    style, script = (files(__package__).joinpath(f"page.{suffix}").read_text() for suffix in ("css", "js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text())
    text = template.render(
        tables=tables,
        tasks=tasks,
        flags=FLAGS.values(),
        largest_side=LARGEST_SIDE,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    write_atomically(folder / PAGE, text.encode())
    return folder / PAGE


def _shown(value: object) -> object:
    """Return what is shown of a value: texts that someone else chose may have characters that UTF-8 lacks."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _hash(text: str) -> str:
    """Return the SHA-256 of a text in the form of a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
