"""Masks read from a file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import UnidentifiedImageError
from torch import Tensor

from alps_exp.batch import Batch, of_image_size
from alps_exp.errors import SettingError, one_line
from alps_exp.files import open_hdf5
from alps_exp.foreign_files import own_dataset, read_member, read_npy
from alps_exp.masks.base import Array
from alps_exp.pictures import read_picture_mask
from alps_exp.representation import as_settings


class FileMask:
    """Masks from a file: one for all images, or one per image id.

    Called with a batch, it returns masks in the format of `Mask`. The file is read at the first call.

    Parameters
    ----------
    path
        A ``.npy`` file, an HDF5 file (``.h5``) with a dataset ``mask``, or a picture, as
        `alps_exp.pictures.read_picture_mask` reads it, with one mask for all images; or a ``.npz`` file with one array
        for all images or one per image id. Masks have the shape (H, W) of the images, or (W,) to select whole columns,
        also with axes of length 1 around them, and contain 0 and 1 (or False and True, or 0 and 255); complex ones have
        no imaginary part.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        When called, if the file contains no valid masks, has no mask for an image, or does not fit the image size.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"no such mask file: {self.path}")

    def __call__(self, batch: Batch) -> Tensor:
        """Return the masks of a batch, (B, 1, H, W)."""
        image = of_image_size(batch)
        masks = [self._mask(image_id, tuple(image.shape[-2:])) for image_id in batch["image_id"]]
        return torch.from_numpy(np.stack(masks)[:, None].astype(np.float32)).to(image.device)

    @cached_property
    def _single(self) -> Array:
        """The array of a file that has one."""
        try:
            if self.path.suffix == ".npy":
                return np.array(read_npy(self.path))
            if self.path.suffix == ".h5":
                with open_hdf5(self.path) as file:
                    return _numbers(own_dataset(file, "mask")[()])
            return read_picture_mask(self.path)
        except Exception as error:  # a damaged file can raise anything
            raise self._unreadable(error) from error

    def _stored(self, image_id: str) -> tuple[str, Array]:
        """Return the name and the array of an image's mask."""
        if self.path.suffix != ".npz":
            return "mask", self._single
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
                name = image_id if image_id in names else next(iter(names), "mask")
                if name != image_id and len(names) != 1:
                    raise SettingError(f"{self.path} holds {len(names)} masks, but none for the image {image_id}")
                content = io.BytesIO(read_member(archive, archive.namelist()[names.index(name)]))
            return name, _numbers(np.load(content, allow_pickle=False))
        except SettingError:
            raise
        except Exception as error:  # a damaged file can raise anything
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ValueError:
        why = "not a picture" if isinstance(error, UnidentifiedImageError) else one_line(error)
        return ValueError(f"{self.path} is no .npy, .npz, .h5 or image file of masks: {why}")

    def _mask(self, image_id: str, shape: tuple[int, ...]) -> Array:
        name, stored = self._stored(image_id)
        mask = stored.real if np.iscomplexobj(stored) and not stored.imag.any() else stored
        if mask.ndim > 2:  # (1, 1, H, W), and fastMRI's (1, 1, W, 1)
            mask = mask.squeeze()
        if mask.shape == shape[1:]:
            mask = np.broadcast_to(mask, shape)
        if mask.shape != shape:
            raise ValueError(f"mask {name} in {self.path} has shape {stored.shape}, the image {shape}")
        if np.isin(mask, (0, 255)).all():
            mask = mask > 0
        if not np.isin(mask, (0, 1)).all():
            raise ValueError(f"mask {name} in {self.path} must hold only 0 and 1, or 0 and 255")
        return mask


def mask_files(*rules: object) -> list[Path]:
    """Return the files of the `FileMask`s that operators, or mappings of regions, are made with."""
    return [path for rule in rules for path in _files_in(as_settings(rule))]


def _files_in(settings: object) -> list[Path]:
    if isinstance(settings, Mapping):
        if str(settings.get("_target_")).endswith(f".{FileMask.__name__}"):
            return [Path(settings["path"])]
        return _files_in(list(settings.values()))
    return [path for item in settings for path in _files_in(item)] if isinstance(settings, list) else []


def _numbers(found: object) -> Array:
    """Return an array of numbers; raises ValueError for anything else."""
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufc":
        raise ValueError("it holds no array of numbers")
    return found
