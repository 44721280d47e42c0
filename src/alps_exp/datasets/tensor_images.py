"""Images that are in memory already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor
from torch.utils.data import Dataset

from alps_exp.batch import Item


class TensorImages(Dataset[Item]):
    """The images of a tensor.

    An item is ``image`` (C, H, W) and ``image_id``.

    Parameters
    ----------
    images
        (N, C, H, W), real in [-1, 1] or complex.
    image_ids
        A unique id for each image. None: 0000, 0001, ....

    Raises
    ------
    ValueError
        If the images are not of four dimensions, there is none, or their number differs from that of the ids.

    Examples
    --------
    >>> import torch
    >>> TensorImages(torch.zeros(2, 3, 8, 8)).image_ids
    ['0000', '0001']
    """

    def __init__(self, images: Tensor, image_ids: Sequence[str] | None = None) -> None:
        if images.ndim != 4 or not len(images):
            raise ValueError(f"expected images (N, C, H, W) with N >= 1, got {tuple(images.shape)}")
        self.images = images.detach().cpu()
        self.image_ids = [f"{i:04d}" for i in range(len(images))] if image_ids is None else list(image_ids)
        if len(self.image_ids) != len(images):
            raise ValueError(f"expected an id for each of {len(images)} images, got {len(self.image_ids)}")
        self.channels = images.shape[1] * (2 if images.is_complex() else 1)

    @property
    def index(self) -> list[str]:
        """A line for each image that changes with it: id and checksum."""
        digests = [hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest() for image in self.images]
        return [f"{image_id} {digest}" for image_id, digest in zip(self.image_ids, digests, strict=True)]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        return {"image": self.images[index], "image_id": self.image_ids[index]}
