"""Folders and zip archives of photographs."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from alps_exp.batch import Item, KeyedIndex, split_index
from alps_exp.checks import LARGEST_SIDE, check_count
from alps_exp.content_hashes import content_hashes
from alps_exp.datasets.cache import SharedCache
from alps_exp.errors import ImageError
from alps_exp.files import files_below
from alps_exp.foreign_files import read_bytes, read_member
from alps_exp.pictures import open_picture, read_picture_mask
from alps_exp.randomness import item_generator

FILTERS = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
READ_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation
SIDEWAYS = (5, 6, 7, 8)


class CropError(ImageError):
    """The crop of the request does not fit an image."""


class ImageFolder(Dataset[Item]):
    """The PNG, JPEG and WebP images of a folder or a zip archive, sorted by name, or a single one.

    Folders are searched recursively, and links are followed. This covers FFHQ as published (thumbnails in sub-folders
    00000, 01000, ...), the zips of NVlabs' EDM (whose ``dataset.json`` is not read: it has the same order), CelebA's
    aligned images, and any other folder.

    An item is ``image`` (3, size, size) float32 in [-1, 1] and ``image_id``, the file name without suffix (prefixed by
    its folders if names repeat). Images are rotated according to their EXIF orientation, gray images get three equal
    channels, and transparency is dropped. Nothing is read before the first use, so a config may name files that its job
    never needs.

    Parameters
    ----------
    path
        Folder, zip archive, or picture.
    size
        Side of the square result, in pixels.
    crop
        Box (left, upper, right, lower) in pixels of the upright image, possibly fractional; None: the central square.
    crop_of
        Width and height of the pictures that the crop is for: others are refused. None: any that it fits.
    indices
        (start, stop), a half-open range of the sorted names; None: all.
    flip
        Whether to mirror half of the images left to right, as decided by the key of the item (never without a key).
    filter
        ``lanczos`` or ``box``, both with anti-aliasing.
    measured
        Whether the pictures are measurements, of which there is no truth: an item is then ``measurement`` (3, size,
        size), ``mask`` (1, size, size), and ``image_id``. The mask is 0 where the picture is transparent.
    masks
        For measured pictures: a picture, or a folder with a picture of each name, of the same size as the photograph;
        white is measured, and black, or in a picture with transparency all that is transparent, is missing.
    resize
        Whether measured pictures may be shrunk to `size`; a pixel is measured if all that it averages is. Pictures that
        are not measured are always resized.
    cache_bytes
        Memory for decoded images per training process, shared by its workers (see `SharedCache`). Worthwhile if the
        files are larger than `size`.

    Raises
    ------
    FileNotFoundError
        On first use, if the path does not exist.
    ValueError
        If there is no image, or crop, size, indices or filter are invalid.
    ImageError
        If an image cannot be read or the crop does not fit it; on first use, if the crop fits none of the images.
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
        *,
        crop_of: Sequence[int] | None = None,
        measured: bool = False,
        masks: str | None = None,
        resize: bool = False,
        cache_bytes: int = 0,
    ) -> None:
        if filter not in FILTERS:
            raise ValueError(f"filter must be one of {', '.join(FILTERS)}, got {filter!r}")
        if crop is not None and len(crop) != 4:
            raise ValueError(f"crop must be (left, upper, right, lower), got {list(crop)}")
        if indices is not None and len(indices) != 2:
            raise ValueError(f"indices must be (start, stop), got {list(indices)}")
        if (masks or resize) and not measured:
            raise ValueError("masks and resize are for measured pictures: set data.test.measured=true too")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must be at least 0, got {cache_bytes}")
        self.path = Path(path)
        self.size = check_count("size", size, LARGEST_SIDE)
        self.crop = None if crop is None else tuple(crop)
        self.crop_of = None if crop_of is None else tuple(crop_of)
        self.indices = None if indices is None else tuple(indices)
        self.flip = flip
        self.filter = filter
        self.measured, self.resize = measured, resize
        self.masks = None if masks is None else Path(masks)
        self.cache_bytes = cache_bytes
        self._archive: tuple[int, zipfile.ZipFile] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archive": None}

    @cached_property
    def files(self) -> list[tuple[str, str]]:
        """File name within the path and image id of each item."""
        names = self._image_names()
        start, stop = self.indices or (0, len(names))
        if not 0 <= start < stop <= len(names):
            self._check_crop(names)  # pictures of another data set have another number too
            raise ValueError(f"indices [{start}, {stop}) do not fit the {len(names)} images in {self.path}")
        files = list(zip(names, _image_ids(names), strict=True))[start:stop]
        self._check_crop([name for name, _ in files])
        return files

    @property
    def folder(self) -> Path | None:
        """The folder in which the files are; None if they are in a zip archive."""
        if self._is_picture:
            return self.path.parent
        return self.path if self.path.is_dir() else None

    @property
    def _is_picture(self) -> bool:
        return self.path.suffix.lower() in SUFFIXES and self.path.is_file()

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
        """A line for each item that changes with its file: id, and checksum (zip) or hash (folder)."""
        if (folder := self.folder) is not None:
            hashes = content_hashes(folder, [name for name, _ in self.files])
            lines = [f"{i} {digest}" for (_, i), digest in zip(self.files, hashes, strict=True)]
        else:
            lines = [f"{i} {self._open_archive().getinfo(name).CRC:08x}" for name, i in self.files]
        if self.masks is None:
            return lines
        masks = [self._mask_checksum(self.masks, name) for name, _ in self.files]
        return [f"{line} {checksum}" for line, checksum in zip(lines, masks, strict=True)]

    def __len__(self) -> int:
        # A loader asks for the length before it starts its workers, which share what is there by then.
        self.cache  # noqa: B018
        return len(self.files)

    def __getitem__(self, item: KeyedIndex) -> Item:
        index, key = split_index(item)
        name, image_id = self.files[index]
        if self.measured:
            return self._measured_item(name, image_id)
        pixels = self.cache.get(index, lambda: self._pixels(name))
        if self.flip and key is not None and item_generator(key).random() < 0.5:
            pixels = pixels[:, ::-1]
        return {"image": to_tensor(pixels), "image_id": image_id}

    def _image_names(self) -> list[str]:
        if not self.path.exists():
            raise FileNotFoundError(f"no such picture, folder or zip archive of images: {self.path}")
        if self._is_picture:
            return [self.path.name]
        if self.path.is_dir():
            found = [path.relative_to(self.path).as_posix() for path in files_below(self.path)]
        else:
            found = self._open_archive().namelist()
        names = sorted(n for n in found if n.lower().endswith(SUFFIXES) and not _is_hidden(n))
        if not names:
            archives = [name for name in map(str, found) if name.lower().endswith(".zip")]
            cure = f", but {archives[0]}: unpack that, and give its path" if archives else ""
            raise ValueError(f"no PNG, JPEG or WebP image in {self.path}{cure}")
        return names

    def _open_archive(self) -> zipfile.ZipFile:
        # One handle per process: forked workers that shared a handle would move each other's file position.
        if self._archive is None or self._archive[0] != os.getpid():
            if not self.path.is_file():  # of a pipe, opening would wait
                raise ValueError(f"neither a folder, nor a zip archive, nor a picture: {self.path}")
            try:
                self._archive = (os.getpid(), zipfile.ZipFile(self.path))
            except zipfile.BadZipFile as error:
                raise ValueError(f"neither a folder, nor a zip archive, nor a picture: {self.path}") from error
        return self._archive[1]

    def _pixels(self, name: str) -> np.ndarray:
        rgb = self._upright(name, "RGB")
        return np.asarray(rgb.resize((self.size, self.size), FILTERS[self.filter], box=self._box(rgb.size, name)))

    def _measured_item(self, name: str, image_id: str) -> Item:
        picture = self._upright(name, "RGBA")
        if self.masks is not None:
            picture.putalpha(self._mask(self.masks, name, picture.size))
        # A pixel that is partly transparent holds the color of what lies behind it too.
        picture.putalpha(picture.getchannel("A").point(lambda alpha: 255 * (alpha == 255)))
        pixels = self._measured_pixels(picture, name)
        mask = torch.from_numpy(pixels[..., 3] == 255)[None].float()
        if not mask.any():
            raise ImageError(f"nothing of the measured picture {name} is measured: all of it is missing")
        return {"measurement": to_tensor(pixels[..., :3]), "mask": mask, "image_id": image_id}

    def _measured_pixels(self, picture: Image.Image, name: str) -> np.ndarray:
        """Return the cropped picture (size, size, 4) uint8; its last channel is 255 where all of a pixel is opaque."""
        left, upper, right, lower = self._box(picture.size, name)
        has = f"the measured picture {name} has {picture.width} x {picture.height} pixels"
        if self.crop is None and picture.width != picture.height:
            raise ImageError(f"{has}, and is not square: say what to restore of it with data.test.crop")
        if min(right - left, lower - upper) < self.size:
            raise ImageError(f"{has}, fewer than the model's {self.size} a side: take a model of smaller images")
        if (right - left, lower - upper) == (self.size, self.size):
            return np.asarray(picture.crop((round(left), round(upper), round(right), round(lower))))
        if not self.resize:
            raise ImageError(
                f"{has}, and the model's images have {self.size} a side: crop it with data.test.crop, or shrink it "
                "with data.test.resize=true"
            )
        # A box filter averages a pixel's own area alone; others would let what is missing bleed into its neighbors.
        box = (left, upper, right, lower)
        return np.asarray(picture.resize((self.size, self.size), Image.Resampling.BOX, box=box))

    def _mask(self, masks: Path, name: str, size: tuple[int, int]) -> Image.Image:
        path = self._mask_path(masks, name)
        try:
            measured = read_picture_mask(path)
        except Exception as error:  # decoders raise all kinds of exceptions for damaged files
            raise ImageError(f"unreadable mask {path} of the picture {name}: not a picture") from error
        if measured.shape != (size[1], size[0]):
            height, width = measured.shape
            raise ImageError(f"the mask {path} has {width} x {height} pixels, the picture {name} {size[0]} x {size[1]}")
        return Image.fromarray(255 * measured.astype(np.uint8))

    def _mask_checksum(self, masks: Path, name: str) -> str:
        try:
            return f"{zlib.crc32(self._mask_path(masks, name).read_bytes()):08x}"
        except ImageError:  # which is that picture's fault, not that of all
            return "none"

    def _mask_path(self, masks: Path, name: str) -> Path:
        stem = masks / PurePosixPath(name).with_suffix("")
        candidates = [stem.with_name(stem.name + suffix) for suffix in SUFFIXES] if masks.is_dir() else [masks]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            raise ImageError(f"no mask for the picture {name}: expected {candidates[0]}")
        return found

    def _upright(self, name: str, mode: str) -> Image.Image:
        """Return an image in a mode, turned as its EXIF orientation says."""
        with self._opened(name) as image:
            if image.mode not in READ_MODES:
                raise ImageError(
                    f"image {_printable(name)} in {self.path} has mode {image.mode}, expected 8 bits a channel"
                )
            turn = TO_UPRIGHT.get(_orientation(image))
            return (image if turn is None else image.transpose(turn)).convert(mode)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Image.Image]:
        try:
            with open_picture(self._read(name)) as image:
                yield image
        except ImageError:
            raise
        except Exception as error:  # decoders raise all kinds of exceptions for damaged files
            # The message of UnidentifiedImageError contains a memory address, which would differ between runs.
            why = "not a picture" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__
            raise ImageError(f"unreadable image {_printable(name)} in {self.path}: {why}") from error

    def _read(self, name: str) -> bytes:
        if (folder := self.folder) is not None:
            return read_bytes(folder / name)
        return read_member(self._open_archive(), name)

    def _check_crop(self, names: list[str]) -> None:
        """Raise ImageError if the crop fits none of the images that can be opened."""
        misfit = None
        for name in names if self.crop else ():
            try:
                with self._opened(name) as image:
                    width, height = image.size
                    self._box((height, width) if _orientation(image) in SIDEWAYS else (width, height), name)
                return
            except CropError as error:
                misfit = misfit or error
            except ImageError:
                continue
        if misfit is not None:
            raise misfit

    def _box(self, size: tuple[int, int], name: str) -> tuple[float, float, float, float]:
        width, height = size
        if self.crop is None:
            return center_square(width, height)
        if self.crop_of not in (None, size):
            expected = " x ".join(map(str, self.crop_of or ()))
            raise CropError(
                f"image {name} in {self.path} has {width} x {height} pixels, and the crop is of {expected}: give "
                "data.test.crop=null for the central square, or take data=celebahq for CelebA-HQ"
            )
        left, upper, right, lower = self.crop
        if not (0 <= left < right <= width and 0 <= upper < lower <= height):
            raise CropError(f"crop {self.crop} does not fit image {name} of {width} x {height} in {self.path}")
        return left, upper, right, lower


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Turn uint8 pixels (H, W, 3) into a float32 tensor (3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)


def center_square(width: int, height: int) -> tuple[float, float, float, float]:
    """Return the largest centered square as a box (left, upper, right, lower) in pixels."""
    side = min(width, height)
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image; 1 is upright."""
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _printable(name: str) -> str:
    """Return a file name, which may be any bytes, as text on one line."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _image_ids(names: list[str]) -> list[str]:
    names = [_printable(name) for name in names]
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
