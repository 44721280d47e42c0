"""Folders and zip archives of photographs."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from alps_exp.data.cache import SharedCache
from alps_exp.data.keys import Item, split_item

FILTERS = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
READ_ERRORS = (OSError, SyntaxError, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError)
READ_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


class ImageError(ValueError):
    """An image of the request cannot be read, or is not what the request takes it for."""


class ImageFolder(Dataset[dict[str, Any]]):
    """The PNG, JPEG and WebP images of a folder (searched recursively) or a zip archive, in order of their names.

    So it reads FFHQ as it is published (thumbnails in sub-folders 00000, 01000, ...), the zips of NVlabs' EDM (with a
    ``dataset.json``, whose order this is too; unlabelled), CelebA's aligned images, and any other folder.

    An item is ``image`` (3, size, size) float32 in [-1, 1] and ``image_id``, the file's name without suffix
    (with its folders in front where names repeat). Grey images get three equal channels; transparency is
    dropped. Nothing is read before the first use, so that a data module may name files that its job never
    needs.

    Parameters
    ----------
    path
        Folder or zip archive.
    size
        Side of the square result, in pixels.
    crop
        Box (left, upper, right, lower) in pixels of the file, fractions allowed; None takes the centre
        square.
    indices
        (start, stop) picks a half-open range of the sorted names; None takes all.
    flip
        Mirror half of the images left to right, decided by the key of the item; without a key none.
    filter
        ``lanczos`` or ``box``, both anti-aliased.
    cache_bytes
        Memory that may hold decoded images, in each process that trains; its workers share it (see `SharedCache`).
        It pays where the files are larger than `size`.

    Raises
    ------
    FileNotFoundError
        On first use, where the path does not exist.
    ValueError
        Where there is no image, or crop, size, indices or filter do not fit.
    ImageError
        Where an image cannot be read, or the crop does not fit it.
    """

    channels = 3

    def __init__(
        self,
        path: str,
        size: int,
        crop: Sequence[float] | None = None,
        indices: Sequence[int] | None = None,
        flip: bool = False,
        filter: str = "lanczos",
        cache_bytes: int = 0,
    ) -> None:
        if filter not in FILTERS:
            raise ValueError(f"filter must be one of {', '.join(FILTERS)}, got {filter!r}")
        if size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {size}")
        if crop is not None and len(crop) != 4:
            raise ValueError(f"crop must be (left, upper, right, lower), got {list(crop)}")
        if indices is not None and len(indices) != 2:
            raise ValueError(f"indices must be (start, stop), got {list(indices)}")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must be at least 0, got {cache_bytes}")
        self.path = Path(path)
        self.size = size
        self.crop = None if crop is None else tuple(crop)
        self.indices = None if indices is None else tuple(indices)
        self.flip = flip
        self.filter = filter
        self.cache_bytes = cache_bytes
        self._archive: tuple[int, zipfile.ZipFile] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archive": None}

    @cached_property
    def files(self) -> list[tuple[str, str]]:
        """File name within the path and image id of each item."""
        names = self._image_names()
        start, stop = self.indices or (0, len(names))
        if not 0 <= start < stop <= len(names):
            raise ValueError(f"indices [{start}, {stop}) do not fit the {len(names)} images in {self.path}")
        return list(zip(names, _image_ids(names), strict=True))[start:stop]

    @cached_property
    def cache(self) -> SharedCache:
        """Decoded images."""
        return SharedCache(self.cache_bytes, len(self.files), (self.size, self.size, 3))

    @property
    def image_ids(self) -> list[str]:
        """Id of each item."""
        return [image_id for _, image_id in self.files]

    @property
    def index(self) -> list[str]:
        """A line for each item that changes with its file: id, and checksum (zip) or size in bytes (folder)."""
        if self.path.is_dir():
            return [f"{i} {(self.path / name).stat().st_size}" for name, i in self.files]
        return [f"{i} {self._open_archive().getinfo(name).CRC:08x}" for name, i in self.files]

    def __len__(self) -> int:
        # A loader asks for the length before it starts its workers, which share what is there by then.
        self.cache  # noqa: B018
        return len(self.files)

    def __getitem__(self, item: Item) -> dict[str, Any]:
        index, key = split_item(item)
        name, image_id = self.files[index]
        pixels = self.cache.get(index, lambda: self._pixels(name))
        if self.flip and key is not None and np.random.default_rng(key).random() < 0.5:
            pixels = pixels[:, ::-1]
        return {"image": to_tensor(pixels), "image_id": image_id}

    def _image_names(self) -> list[str]:
        if not self.path.exists():
            raise FileNotFoundError(f"no such folder or zip archive of images: {self.path}")
        if self.path.is_dir():
            found = [p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file()]
        else:
            found = self._open_archive().namelist()
        names = sorted(n for n in found if n.lower().endswith(SUFFIXES) and not _is_hidden(n))
        if not names:
            raise ValueError(f"no PNG, JPEG or WebP image in {self.path}")
        return names

    def _open_archive(self) -> zipfile.ZipFile:
        # One handle a process: forked workers that shared one would move each other's file position.
        if self._archive is None or self._archive[0] != os.getpid():
            try:
                self._archive = (os.getpid(), zipfile.ZipFile(self.path))
            except zipfile.BadZipFile as error:
                raise ValueError(f"neither a folder nor a zip archive: {self.path}") from error
        return self._archive[1]

    def _pixels(self, name: str) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(self._read(name))) as image:
                if image.mode not in READ_MODES:
                    raise ImageError(f"image {name} in {self.path} has mode {image.mode}, expected 8 bits a channel")
                rgb = image.convert("RGB")
        except READ_ERRORS as error:
            raise ImageError(f"unreadable image {name} in {self.path}") from error
        return np.asarray(rgb.resize((self.size, self.size), FILTERS[self.filter], box=self._box(rgb, name)))

    def _read(self, name: str) -> bytes:
        if self.path.is_dir():
            return (self.path / name).read_bytes()
        return self._open_archive().read(name)

    def _box(self, image: Image.Image, name: str) -> tuple[float, float, float, float]:
        width, height = image.size
        if self.crop is None:
            return centre_square(width, height)
        left, upper, right, lower = self.crop
        if not (0 <= left < right <= width and 0 <= upper < lower <= height):
            raise ImageError(f"crop {self.crop} does not fit image {name} of {width} x {height} in {self.path}")
        return left, upper, right, lower


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Turn uint8 pixels (H, W, 3) into a float32 tensor (3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)


def centre_square(width: int, height: int) -> tuple[float, float, float, float]:
    """Return the largest centred square as a box (left, upper, right, lower) in pixels."""
    side = min(width, height)
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _image_ids(names: list[str]) -> list[str]:
    without_suffix = [str(PurePosixPath(name).with_suffix("")) for name in names]
    short = [PurePosixPath(name).name for name in without_suffix]
    for candidate in (
        short,
        [n.replace("/", "-") for n in without_suffix],
        [n.replace("/", "-") for n in names],
    ):
        if len(set(candidate)) == len(names):
            return candidate
    raise ValueError(f"image names are not unique once folders are joined by '-', as in {names[0]}")
