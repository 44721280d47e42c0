"""Images as the content of PNG, TIFF, npz and NIfTI files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from alps_exp.packages import require

Array = np.ndarray

FORMATS = ("png", "tiff", "npz", "nii")
_PACKAGES = {"tiff": ("tifffile", "TIFF of float32"), "nii": ("nibabel", "NIfTI")}


def check_formats(formats: Sequence[str], image: Array) -> None:
    """Raise ValueError if a format cannot hold such images (C, H, W), or lacks its package."""
    held = {"png": (1,) if np.iscomplexobj(image) else (1, 3), "nii": (1,)}
    for name in formats:
        if name in held and len(image) not in held[name]:
            counts = " or ".join(map(str, held[name]))
            raise ValueError(f"{name} cannot hold images of {len(image)} channels, only of {counts}: take tiff or npz")
        if name in _PACKAGES:
            _package(name)


def _package(name: str) -> ModuleType:
    return require(*_PACKAGES[name], "'alps_exp[export]'")


def png_bytes(image: Array, white: float | None, units: str) -> bytes:
    """Return a picture (1 or 3, H, W) as PNG.

    Parameters
    ----------
    image
        Real values, of which 0 is black. What is below black or above white is cut off.
    white
        The value that is white, 65,535, in a picture of one channel with 16 bits. None: 1 is white, with 8 bits a
        channel.
    units
        Those of the values, for the description in the file.
    """
    most, pixel, brightest = (255, np.uint8, 1.0) if white is None else (65_535, np.uint16, white or 1.0)
    pixels = np.rint((image / brightest).clip(0, 1) * most).astype(pixel)
    told = PngInfo()
    told.add_itxt("Description", f"{most} is {brightest:.9g}; {units}")
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
    picture.save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()


def tiff_bytes(images: Array, units: str) -> bytes:
    """Return real images (C, H, W) or (N, C, H, W) as TIFF of float32, RGB or one channel a page."""
    values = images.astype(np.float32)
    is_rgb = values.shape[-3] == 3
    pages = np.moveaxis(values, -3, -1) if is_rgb else values.reshape(-1, *values.shape[-2:])
    buffer = io.BytesIO()
    kind = "rgb" if is_rgb else "minisblack"
    _package("tiff").imwrite(buffer, pages, photometric=kind, description=units, metadata=None)
    return buffer.getvalue()


def npz_bytes(arrays: Mapping[str, object]) -> bytes:
    """Return arrays, numbers and texts by name as npz, which `numpy.load` reads without pickle."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.asarray(value) for name, value in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def nifti_bytes(slices: Sequence[Array], voxel_size: Sequence[float] | None, quantity: str) -> bytes:
    """Return the slices of a volume as NIfTI-1 of the axes row, column, slice and, of several images of each, image.

    Values are stored as they are, real as float32 and complex as complex64, without a factor. Orientation and position
    are marked as unknown.

    Parameters
    ----------
    slices
        Images (1, H, W) or (N, 1, H, W), all of one shape.
    voxel_size
        From row to row, from column to column and from slice to slice, in mm; None: not known.
    quantity
        What it is, for the header.
    """
    stacked = np.stack(slices, axis=-1)  # (..., 1, H, W, slices)
    volume = np.moveaxis(stacked, 0, -1)[0] if stacked.ndim == 5 else stacked[0]
    image = _package("nii").Nifti1Image(volume.astype(np.complex64 if np.iscomplexobj(volume) else np.float32), None)
    image.header["descrip"] = quantity
    if voxel_size is not None:
        image.header.set_zooms((*voxel_size, 1.0)[: volume.ndim])
        image.header.set_xyzt_units("mm")
    content: bytes = image.to_bytes()
    return content
