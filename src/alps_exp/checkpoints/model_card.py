"""Model cards: what a network is, as a table of Markdown beside its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from alps_exp.checks import LARGEST_SIDE
from alps_exp.files import write_atomically
from alps_exp.networks.preconditioning import Preconditioned, architecture_of

LONGEST_CARD = 1_000_000
"""Characters of a card; what follows is not read."""


def describe(network: Preconditioned) -> dict[str, str]:
    """Return the entries of a model card that describe a network."""
    architecture = architecture_of(network)
    model = architecture.pop("model")
    preconditioning, kind = architecture.pop("preconditioning"), architecture.pop("network")
    return {
        "preconditioning": _listed(preconditioning, architecture),
        "architecture": _listed(kind, model),
        "resolution": f"{model['img_resolution']} x {model['img_resolution']}, {network.channels} channels",
        "parameters": f"{sum(p.numel() for p in network.parameters()):,}",
    }


def card_image_size(weights: Path) -> tuple[int, int] | None:
    """Return (H, W) of the images that a network was trained on from the card beside its weights; None without one.

    Raises
    ------
    ValueError
        If the card gives sides that no image has.
    """
    card = weights.with_suffix(".md")
    if not card.is_file():
        return None
    with open(card, encoding="utf-8", errors="replace") as file:
        found = re.search(r"^\| resolution \| (\d+) x (\d+)", file.read(LONGEST_CARD), re.MULTILINE)
    if found is None:
        return None
    height, width = (int(side) if len(side) < 10 else 0 for side in found.groups())
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise ValueError(
            f"{card} gives no possible resolution: expected sides from 1 to {LARGEST_SIDE:,} pixels in its line "
            "`| resolution | H x W`, or no such line"
        )
    return height, width


def _listed(name: str, arguments: Mapping[str, object]) -> str:
    return ", ".join([name, *(f"{key} {value}" for key, value in arguments.items())])


def write_card(path: Path, title: str, entries: Mapping[str, str]) -> None:
    """Write a model card atomically: a title and a table of entries."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in entries.items())
    write_atomically(path, f"# {title}\n\n| | |\n|---|---|\n{rows}\n".encode())
