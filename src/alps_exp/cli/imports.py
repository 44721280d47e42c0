"""Explains why a package cannot be imported, without importing anything that could be broken itself."""

from __future__ import annotations

import textwrap
import traceback

from alps_exp.errors import one_line

LONGEST_REASON = 200  # characters; some packages raise a page of advice as their message


def import_fault(error: BaseException) -> str | None:
    """Return which package could not be imported and what to do; None if the error was not raised by an import.

    It is the package that an ImportError names, or else the one whose module body ran last: with incompatible versions,
    the error often comes from the other package.
    """
    bodies = [
        frame.f_globals.get("__name__", "")
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == "<module>"
    ]
    module = getattr(error, "name", None) if isinstance(error, ImportError) else None
    module = module or (bodies[-1] if bodies else None)
    if module is None:  # some packages raise an ImportError with their own text if a dependency is missing
        return one_line(error) if isinstance(error, ImportError) else None
    package = module.partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and module == package:
        by = f", which {bodies[-1].partition('.')[0]} needs," if bodies else ""
        return f"the package {package}{by} is not installed: pip install it beside alps_exp"
    reason = textwrap.shorten(f"{type(error).__name__}: {error}", LONGEST_REASON)
    return (
        f"the package {package} cannot be imported ({reason}): install a version of it that fits the other packages,"
        " or remove it if none needs it; HYDRA_FULL_ERROR=1 shows where it fails"
    )
