"""Errors that both those who raise them and the command line know, which must tell of them without other packages."""

from __future__ import annotations


class OtherVersion(ValueError):
    """A run folder was made by a version of this package whose configs and records have other names."""


class ImageError(ValueError):
    """An image of the request cannot be read, or is not what the request takes it for."""


def one_line(error: BaseException | str) -> str:
    """Return what an error says in one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
