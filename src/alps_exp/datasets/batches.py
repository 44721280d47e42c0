"""Batches of images, including images that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor
from torch.utils.data import Dataset, default_collate

from alps_exp.batch import Batch, ImageDataset, Item
from alps_exp.errors import ImageError


def image_shape(batch: Batch | Item, /) -> tuple[int, ...]:
    """Return (C, H, W) of the images of a batch."""
    return tuple(batch["image"].shape[-3:])


class WithUnreadable(Dataset[Item]):
    """Wraps a dataset so that an unreadable image becomes an item with ``image_id`` and ``unreadable``, the reason.

    Without it, one bad file would end the whole prediction. Datasets raise `ImageError` or `OSError` for such an image.
    """

    def __init__(self, dataset: ImageDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Item:
        try:
            return self.dataset[index]
        except ImageError as error:
            return {"image_id": self.dataset.image_ids[index], "unreadable": str(error)}
        except OSError as error:
            return {"image_id": self.dataset.image_ids[index], "unreadable": f"{type(error).__name__}: {error}"}


def collate(items: Sequence[Item]) -> Batch:
    """Return the batch of the readable items; if some are not, `unreadable` maps their image ids to the reasons.

    Raises
    ------
    ImageError
        If the items have different shapes.
    """
    readable = [item for item in items if "unreadable" not in item]
    if len({_kind(item) for item in readable}) > 1:
        ids = ", ".join(item["image_id"] for item in readable)
        raise ImageError(f"the images of a batch differ in size, coils or truth ({ids}): take data.batch_size=1")
    numbers = [{name: value for name, value in item.items() if name != "source_slice"} for item in readable]
    batch: Batch = default_collate(numbers) if numbers else {"image_id": []}
    if any("source_slice" in item for item in readable):
        batch["source_slice"] = [item.get("source_slice") for item in readable]
    if len(readable) < len(items):
        batch["unreadable"] = {item["image_id"]: item["unreadable"] for item in items if "unreadable" in item}
    return batch


def _kind(item: Item) -> tuple[object, ...]:
    crop = item["crop"].tolist() if "crop" in item else ()
    return (*crop, *((name, value.shape) for name, value in item.items() if isinstance(value, Tensor)))


def one_by_one(batch: Batch) -> list[Batch]:
    """Split a batch into batches of one image."""
    return in_parts(batch, 1)


def in_parts(batch: Batch, size: int) -> list[Batch]:
    """Split a batch into batches of `size` images, the last one of what is left."""
    places = range(len(batch["image_id"]))
    return [select(batch, places[i : i + size]) for i in places[::size]]


def select(batch: Batch, indices: Sequence[int]) -> Batch:
    """Return the batch of the images at some indices."""
    entries = cast(Mapping[str, Tensor | list[object]], batch)  # of any name, as datasets may add their own
    chosen = {
        name: value[list(indices)] if isinstance(value, Tensor) else [value[i] for i in indices]
        for name, value in entries.items()
    }
    return cast(Batch, chosen)
