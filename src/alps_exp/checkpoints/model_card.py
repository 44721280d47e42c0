"""Model cards: what a network is, as a table of Markdown beside its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from alps_exp.files import write_atomically
from alps_exp.networks.preconditioning import Preconditioned, architecture_of


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
    """Return (H, W) of the images that a network was trained on from the card beside its weights; None without one."""
    card = weights.with_suffix(".md")
    found = re.search(r"^\| resolution \| (\d+) x (\d+)", card.read_text(), re.MULTILINE) if card.is_file() else None
    return (int(found[1]), int(found[2])) if found else None


def _listed(name: str, arguments: Mapping[str, object]) -> str:
    return ", ".join([name, *(f"{key} {value}" for key, value in arguments.items())])


def write_card(path: Path, title: str, entries: Mapping[str, str]) -> None:
    """Write a model card atomically: a title and a table of entries."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in entries.items())
    write_atomically(path, f"# {title}\n\n| | |\n|---|---|\n{rows}\n".encode())
