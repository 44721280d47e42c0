"""How training items are addressed: an index with the key from which the item draws all its randomness."""

from __future__ import annotations

Item = int | tuple[int, int]


def split_item(item: Item) -> tuple[int, int | None]:
    """Split the argument of ``__getitem__`` into index and augmentation key (None for a plain index)."""
    if isinstance(item, tuple):
        return item
    return item, None
