"""Errors that the command line reports. This module imports nothing, so they can be reported without any package."""

from __future__ import annotations

from collections.abc import Sequence


class OtherVersion(ValueError):
    """A run folder was made by a version of this package that uses other names in configs and records."""


class SettingError(ValueError):
    """A setting of the request is wrong, whatever the files hold."""


class ImageError(ValueError):
    """An image of the request cannot be read, or is not of the kind that the request assumes."""


def one_line(error: BaseException | str, most: int = 500) -> str:
    """Return a text on one line, or the message of an error, or its type if it has no message.

    It may name what a file holds: characters that cannot be printed are replaced, and those beyond `most` cut off.
    """
    line = " ".join(str(error).split()) or (type(error).__name__ if isinstance(error, BaseException) else "")
    return printable(line if len(line) <= most else f"{line[: most - 1]}\N{HORIZONTAL ELLIPSIS}")


def printable(text: str) -> str:
    """Return a text with every character replaced that cannot be printed, such as those that steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def listed(names: Sequence[str]) -> str:
    """Return the first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
