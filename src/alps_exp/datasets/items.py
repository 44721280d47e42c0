"""Random generators that depend on a key alone, so that results do not depend on batches, ranks or order."""

from __future__ import annotations

Item = int | tuple[int, int]


def split_item(item: Item) -> tuple[int, int | None]:
    """Split what a sampler asks for into index and augmentation key (None where it gave a plain index)."""
    if isinstance(item, tuple):
        return item
    return item, None
