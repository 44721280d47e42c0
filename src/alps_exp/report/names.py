"""How figures and pages show what records name: samplers, with their colors, kinds of estimates, and flags."""

from __future__ import annotations

import colorsys
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from matplotlib.colors import to_hex, to_rgb

_SAMPLERS = {
    "alps": ("ALPS", "#0072b2"),
    "alps_teacher": ("ALPS (teacher)", "#56b4e9"),
    "alps_paper": ("ALPS (paper)", "#1b3a6b"),
    "smc": ("SMC", "#332288"),
    "map": ("MAP", "#d55e00"),
    "daps": ("DAPS", "#009e73"),
    "daps_paper": ("DAPS (paper)", "#117733"),
    "dps": ("DPS", "#cc79a7"),
    "dps_paper": ("DPS (paper)", "#882255"),
    "diffpir": ("DiffPIR", "#e69f00"),
    "pigdm": ("ΠGDM", "#999933"),
    "mmps": ("MMPS", "#aa4499"),
    "ddnm": ("DDNM", "#661100"),
    "red_diff": ("RED-diff", "#ddcc77"),
    "csgm": ("CSGM", "#b15928"),
    "ula": ("ULA", "#6a3d9a"),
    "mala": ("MALA", "#cab2d6"),
    "pnp_ula": ("PnP-ULA", "#88ccee"),
    "zero_filled": ("Zero-filled", "#999999"),
    "sense": ("SENSE", "#666666"),
    "l1_wavelet": ("L1-wavelet", "#44aa99"),
    "total_variation": ("Total variation", "#333333"),
}
_LIGHTEST = 0.6  # share of white in the lightest shade of a color

ESTIMATE_NAMES = {"sample": "sample", "mmse": "MMSE", "map": "MAP", "point": "estimate"}
FLAG_COLOR = "#b22222"
FLAGS = {
    "misfit": ("misfit", "its misfit to the measurement is outside the range that the noise allows"),
    "energy": ("energy", "its energy is not that of a plausible image"),
    "convergence": ("not converged", "the sampler stopped before it reached its tolerance"),
    "saddle": ("saddle", "the gradient vanishes there, but it is no minimum of the negative log posterior"),
    "truth": ("truth", "the truth does not explain the data that it was made from"),
}
"""The label and the meaning of each flag of an estimate, see `alps_exp.evaluation.estimate_flags`."""


def sampler_name(label: str) -> str:
    """Return the displayed name of a sampler, with the settings in brackets that a table may add to it.

    The package's samplers have the names of their papers; a sampler of the user's keeps its spelling.
    """
    sampler, bracket, settings = label.partition(" (")
    return _SAMPLERS[sampler][0] + bracket + settings if sampler in _SAMPLERS else label


def kind_name(label: str, estimate: str) -> str:
    """Return the displayed kind of an estimate of a sampler; empty where the sampler's name says it already."""
    return "" if estimate == "point" or label.partition(" (")[0] == estimate else ESTIMATE_NAMES[estimate]


def estimate_name(label: str, estimate: str) -> str:
    """Return the displayed name of an estimate: its sampler, and its kind where that is not clear already."""
    return f"{sampler_name(label)} {kind_name(label, estimate)}".rstrip()


def sampler_colors(labels: Iterable[str]) -> dict[str, str]:
    """Return a color (#rrggbb) for each sampler of a figure, the same in all figures.

    The color of a user's sampler is computed from its name. Several settings of one sampler, which a table tells apart
    in brackets, have shades of its color, from the full one to a light one in the given order.
    """
    settings: defaultdict[str, list[str]] = defaultdict(list)
    for label in dict.fromkeys(labels):
        settings[label.partition(" (")[0]].append(label)
    return {
        label: _lighter(_color(sampler), _LIGHTEST * position / max(len(variants) - 1, 1))
        for sampler, variants in settings.items()
        for position, label in enumerate(variants)
    }


def flag_text(flags: Sequence[str]) -> str:
    """Return the mark of a flagged estimate, which names its flags; empty without any."""
    labels = [FLAGS[flag][0] if flag in FLAGS else flag for flag in flags]
    return f"⚑ {', '.join(labels)}" if labels else ""


def _color(sampler: str) -> str:
    if sampler in _SAMPLERS:
        return _SAMPLERS[sampler][1]
    digest = hashlib.sha256(sampler.encode(errors="surrogatepass")).digest()
    hue = int.from_bytes(digest[:2], "big") / 2**16
    return to_hex(colorsys.hls_to_rgb(hue, 0.42, 0.6))


def _lighter(color: str, white: float) -> str:
    red, green, blue = (channel + (1 - channel) * white for channel in to_rgb(color))
    return to_hex((red, green, blue))
