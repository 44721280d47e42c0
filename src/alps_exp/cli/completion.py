"""Shell completion: Hydra's own, told which verb the line to complete has."""

from __future__ import annotations

import os
from collections.abc import Iterable

COMPLETION = ("-sc", "--shell-completion")
"""Flags under which shells ask for completions; they come without a verb."""


def verb_to_complete(verbs: Iterable[str]) -> str | None:
    """Return the verb of the line that a shell wants completed and take it out of the line, or None without one.

    Hydra reads the line from ``COMP_LINE`` and knows overrides only.
    """
    program, _, rest = os.environ.get("COMP_LINE", "").partition(" ")
    verb, space, overrides = rest.lstrip().partition(" ")
    if not space or verb not in verbs:
        return None
    os.environ["COMP_LINE"] = f"{program} {overrides}"
    return verb
