"""Shell completion: Hydra's own, with the verb of the line to complete."""

from __future__ import annotations

import os
from collections.abc import Iterable

COMPLETION = ("-sc", "--shell-completion")
"""Flags with which shells request completions; they come without a verb."""


def verb_to_complete(verbs: Iterable[str]) -> str | None:
    """Return the verb of the line to complete and remove it from the line; None if it has no verb.

    Hydra reads the line from ``COMP_LINE``, and understands only overrides.
    """
    program, _, rest = os.environ.get("COMP_LINE", "").partition(" ")
    verb, space, overrides = rest.lstrip().partition(" ")
    if not space or verb not in verbs:
        return None
    os.environ["COMP_LINE"] = f"{program} {overrides}"
    return verb
