"""What the numbers of a result mean, as attributes that an HDF5 file says beside them."""

from __future__ import annotations

IMAGES = ("truth", "adjoint", "estimates", "samples", "interval", "magnitude_interval")
SPREADS = ("std", "magnitude_std", "half_width")


def attributes_of(name: str, is_complex: bool, has_scale: bool) -> dict[str, str]:
    """Return ``range`` and ``units`` of an array of a result; empty for numbers that say themselves what they are.

    Parameters
    ----------
    name
        Name of the array in the file.
    is_complex
        Whether the images of the result are complex.
    has_scale
        Whether the file holds ``source_scale``.
    """
    kind = name.partition("/")[0]
    if kind == "source_scale":
        return {"range": "at least 0", "units": "those of the source, for 1 of the images"}
    if kind == "measurement":
        return {"range": "any", "units": "those that the forward operator gives for images as stored here"}
    if kind not in IMAGES + SPREADS:
        return {}
    if is_complex:
        span = "at least 0" if kind in SPREADS else "magnitudes from 0 to about 1"
        of_source = "times source_scale: root sum of squares over the coils of the source"
        return {"range": span, "units": of_source if has_scale else "those of the dataset"}
    if kind in SPREADS:
        return {"range": "at least 0", "units": "those of the images: value / 2 for images in [0, 1]"}
    return {"range": "-1 (black) to 1 (white)", "units": "(value + 1) / 2 is in [0, 1]"}
