"""Loading of teachers and energies by the name of a shipped model or the path of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alps_exp.checkpoints.model_card import card_image_size
from alps_exp.checkpoints.reading import read_checkpoint
from alps_exp.checkpoints.shipped import model_path
from alps_exp.checkpoints.wrappings import Choice
from alps_exp.files import file_hash
from alps_exp.networks.preconditioning import Preconditioned
from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy


def load_teacher(
    name: str | Path,
    architecture: str | Path | Mapping[str, object] | None = None,
    class_label: int | None = None,
    source: str | None = None,
    sha256: str | None = None,
    *,
    key: str | None = None,
    prefix: str | None = None,
) -> Denoiser:
    """Load a teacher by the name of a shipped model or the path of a file.

    Parameters
    ----------
    name
        Name of a shipped model, or path of a safetensors file, a pickle of NVlabs' EDM or EDM2 code, a torch or
        Lightning file of weights, or a folder of diffusers.
    architecture
        For files that contain only weights: a teacher with the same architecture, by name or path; for networks of
        guided diffusion, what their weights do not say: ``schedule`` (``linear`` or ``cosine``) and ``M`` of the noise,
        and in ``model`` ``head_channels``, ``heads``, ``new_attention_order`` and ``img_resolution``;
        for networks of score_sde, ``sde`` (``ve``, ``vp``, ``subvp``), ``continuous``, ``centered``, and in ``model``
        ``img_resolution`` and ``resample_filter``; for networks of EDM2 and of diffusers, see
        `alps_exp.checkpoints.edm2.edm2_network` and `alps_exp.checkpoints.diffusers_folder.diffusers_network`.
    class_label
        Class of the images, for networks that have classes; None for those that have none.
    source
        URL where the file is published, given in the error message if the file is missing.
    sha256
        Expected SHA-256 of the file; None: not checked.
    key, prefix
        For files that hold several weights: the key of those to take (``ema``), and the prefix of their names.

    Raises
    ------
    ValueError
        If the file does not exist, has a different hash or kind, is damaged or unsafe, or does not match its
        architecture.

    Examples
    --------
    >>> load_teacher("brain64").channels  # real and imaginary part
    2
    """
    return Denoiser(_load(name, "teacher", architecture, class_label, source, sha256, key=key, prefix=prefix)).eval()


def load_energy(
    name: str | Path,
    architecture: str | Path | Mapping[str, object] | None = None,
    class_label: int | None = None,
    source: str | None = None,
    sha256: str | None = None,
    *,
    key: str | None = None,
    prefix: str | None = None,
) -> Energy:
    """Load an energy by the name of a shipped model or the path of a file.

    Parameters
    ----------
    name
        Name of a shipped model, or path of a safetensors file, or a torch or Lightning file of weights.
    architecture, class_label, source, sha256, key, prefix
        As in `load_teacher`.

    Raises
    ------
    ValueError
        As `load_teacher`.

    Examples
    --------
    >>> import torch
    >>> energy = load_energy("faces64")
    >>> energy.denoise(torch.zeros(1, 3, 64, 64), t=0.5).shape
    torch.Size([1, 3, 64, 64])
    """
    return Energy(_load(name, "energy", architecture, class_label, source, sha256, key=key, prefix=prefix)).eval()


def _load(
    name: str | Path,
    kind: str,
    architecture: str | Path | Mapping[str, object] | None,
    class_label: int | None,
    source: str | None,
    sha256: str | None,
    *,
    key: str | None,
    prefix: str | None,
) -> Preconditioned:
    if source and not Path(name).exists():
        raise ValueError(f"no file {name}: download {source} to this path, or set another with {kind}.name=PATH")
    path = model_path(name, kind)
    if sha256 and (digest := file_hash(path)) != sha256:
        raise ValueError(f"{path} has the SHA-256 {digest}, expected {sha256}")
    checkpoint = read_checkpoint(path, architecture, Choice(key, prefix, f"{kind}."))
    if checkpoint.kind not in (kind, None):
        raise ValueError(f"{path} holds the weights of this kind: {checkpoint.kind}; expected: {kind}")
    network = checkpoint.network.requires_grad_(False)
    _check_label(f"{kind}.class_label", class_label, network.model.label_dim, path)
    network.class_label = class_label
    side = network.model.arguments["img_resolution"]
    network.image_size = card_image_size(path) or (side, side)
    return network


def _check_label(setting: str, label: int | None, classes: int, path: Path) -> None:
    """Check that a class is given if and only if the network has classes, and that it is one of them."""
    if not classes and label is not None:
        raise ValueError(f"{setting} is {label}, but the network in {path} has no classes: leave it out")
    if classes and (label is None or not 0 <= label < classes):
        found = "no class is given" if label is None else f"{setting} is {label}"
        raise ValueError(f"{found}, and the network in {path} has {classes} classes: {setting}=0 to {classes - 1}")
