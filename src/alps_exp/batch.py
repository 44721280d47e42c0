"""What a dataset provides: an item for each image, and the batch of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:  # the command's help gets here, and must not wait for torch
    from torch import Tensor

    from alps_exp.source import SourceSlice

KeyedIndex = int | tuple[int, int]
"""An index, or an index with the key from which a training item draws all its randomness."""


class _NamedItem(TypedDict):
    image_id: str


class Item(_NamedItem, total=False):
    """One image. A dataset may add entries, which reach the masks and maps of an operator.

    `image` is (C, H, W), real in [-1, 1] or complex; measured data may lack it. They bring `measurement`, and what it
    was measured with: `sensitivity_maps` (coils, H, W), `mask` (1, H, W) and `noise_std`; `prepared_noise_std` is their
    own noise level where the request gives another. `crop` (2,) int64 gives rows and columns of the center in which
    images are compared. `truth_misfit` and `truth_residual` say how well a truth explains the data that it was made
    from (NaN if that is not known), and `truth_sound` whether well enough. A slice names its `volume`, of
    `volume_slices` slices; `target` (1, h, w) is the root sum of squares over the coils of its center, which
    `target_weight` (1, H, W) times the magnitude of an image is compared with. `source_slice` says which slice of a
    volume it is, and what makes its values those of its file. `augment` (9,) are augmentation labels of a training
    item. `unreadable` is the reason why an image could not be read; such an item has no other entry.
    """

    image: Tensor
    measurement: Tensor
    sensitivity_maps: Tensor
    mask: Tensor
    noise_std: float
    prepared_noise_std: float
    crop: Tensor
    truth_misfit: float
    truth_residual: float
    truth_sound: bool
    volume: str
    volume_slices: int
    target: Tensor
    target_weight: Tensor
    source_slice: SourceSlice
    augment: Tensor
    unreadable: str


class _NamedBatch(TypedDict):
    image_id: list[str]


class Batch(_NamedBatch, total=False):
    """Several images: the entries of `Item` with a leading axis B; `unreadable` has the reasons by image id."""

    image: Tensor
    measurement: Tensor
    sensitivity_maps: Tensor
    mask: Tensor
    noise_std: Tensor
    prepared_noise_std: Tensor
    crop: Tensor
    truth_misfit: Tensor
    truth_residual: Tensor
    truth_sound: Tensor
    volume: list[str]
    volume_slices: Tensor
    target: Tensor
    target_weight: Tensor
    source_slice: list[SourceSlice | None]
    augment: Tensor
    unreadable: dict[str, str]


def of_image_size(batch: Batch) -> Tensor:
    """Return the images of a batch, or of measured pictures, which have no truth, the measurement: (B, C, H, W)."""
    return batch["image"] if "image" in batch else batch["measurement"]


AUTO_BATCH = 32
"""Images in a batch where `data.batch_size` is ``auto``."""


class TrainingImages(Protocol):
    """Images to train on. An item is a function of its index and key alone."""

    @property
    def channels(self) -> int:
        """Number of real channels; a complex channel counts as 2."""

    @property
    def index(self) -> list[str]:
        """Lines that change with the data; their hash is in the provenance of a run."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: KeyedIndex, /) -> Item: ...


class ImageDataset(Protocol):
    """Images to validate on or to restore, in a fixed order."""

    @property
    def channels(self) -> int:
        """Number of real channels; a complex channel counts as 2."""

    @property
    def image_ids(self) -> list[str]:
        """A unique id for each image; it keys the noise of its measurement and of its samples."""

    @property
    def index(self) -> list[str]:
        """A line for each image that changes with it, then any lines that concern all of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Item: ...


def split_index(index: KeyedIndex) -> tuple[int, int | None]:
    """Split the argument of ``__getitem__`` into index and augmentation key (None for a plain index)."""
    if isinstance(index, tuple):
        return index
    return index, None
