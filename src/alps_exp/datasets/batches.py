"""Batches of images, including images that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, default_collate

from alps_exp.errors import ImageError

UNREADABLE = "unreadable"


def image_shape(batch: dict[str, Any], /) -> tuple[int, ...]:
    """Return (C, H, W) of the images of a batch."""
    return tuple(batch["image"].shape[-3:])


class WithUnreadable(Dataset[dict[str, Any]]):
    """Wraps a dataset so that an unreadable image becomes an item with ``image_id`` and ``unreadable``, the reason.

    Without it, one bad file would end the whole prediction. Datasets raise `ImageError` or `OSError` for such an image.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return self.dataset[index]
        except ImageError as error:
            return {"image_id": self.dataset.image_ids[index], UNREADABLE: str(error)}
        except OSError as error:
            return {"image_id": self.dataset.image_ids[index], UNREADABLE: f"{type(error).__name__}: {error}"}


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the batch of the readable items; if some are not, `unreadable` maps their image ids to the reasons.

    Raises
    ------
    ImageError
        If the items have different shapes.
    """
    readable = [item for item in items if UNREADABLE not in item]
    if len({_kind(item) for item in readable}) > 1:
        ids = ", ".join(str(item.get("image_id")) for item in readable)
        raise ImageError(f"the images of a batch differ in size, coils or truth ({ids}): take data.batch_size=1")
    batch = default_collate(readable) if readable else {"image_id": []}
    unreadable = {item["image_id"]: item[UNREADABLE] for item in items if UNREADABLE in item}
    return batch | {UNREADABLE: unreadable} if unreadable else batch


def _kind(item: dict[str, Any]) -> tuple[Any, ...]:
    crop = item["crop"].tolist() if "crop" in item else ()
    return (*crop, *((name, value.shape) for name, value in item.items() if isinstance(value, Tensor)))


def one_by_one(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """Split a batch into batches of one image."""
    return [select(batch, [i]) for i in range(len(batch["image_id"]))]


def select(batch: dict[str, Any], indices: Sequence[int]) -> dict[str, Any]:
    """Return the batch of the images at some indices."""
    return {
        name: value[list(indices)] if isinstance(value, Tensor) else [value[i] for i in indices]
        for name, value in batch.items()
    }
