"""What Weights & Biases keeps of a run besides metrics: the weights that it used and left, and a table of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, WandbLogger

from alps_exp.files import file_hash
from alps_exp.pictures import rms, visible
from alps_exp.runs import ImageResult, Record, RunFolder

if TYPE_CHECKING:
    import wandb

MOST_IMAGES = 16
THUMBNAIL = 128  # pixels of the longer side
NUMBERS = ("psnr", "ssim", "nmse", "lpips", "spread", "error", "data_misfit", "nfe_forward", "nfe_vjp", "seconds")
PICTURES = ("truth", "adjoint", "estimate", "std")


def log_used_weights(logger: Logger | None, weights: Mapping[str, Mapping[str, str]]) -> None:
    """Tell W&B which weights a run uses; their files are not uploaded.

    An artifact is named by the hash of its file, so that the run that trained the weights, if W&B knows it, and all
    that use them are joined.

    Parameters
    ----------
    logger
        The logger; others than that of W&B are left alone.
    weights
        ``path`` and ``sha256`` by role, see `alps_exp.runs.Provenance`. Weights that are in no file are left out.
    """
    files = {role: Path(one["path"]) for role, one in weights.items()}
    if not isinstance(logger, WandbLogger) or logger.experiment.disabled:
        return
    for role in (role for role, path in files.items() if path.is_file()):
        artifact = _weights_artifact(files[role], weights[role]["sha256"], {"role": role})
        uri = files[role].resolve().as_uri()
        artifact.add_reference(uri, name=_entry(files[role]))
        if logger.experiment.offline:  # where `use_artifact` refuses: `wandb sync` records the use
            logger.experiment._log_artifact(artifact, is_user_created=True, use_after_commit=True)
        else:
            logger.experiment.use_artifact(artifact)


def log_trained_weights(logger: Logger | None, path: Path, facts: Mapping[str, str]) -> None:
    """Give W&B the weights that a training left, as an artifact that is named by the hash of the file.

    Parameters
    ----------
    logger
        The logger; others than that of W&B are left alone.
    path
        The file.
    facts
        What the model card says.
    """
    if isinstance(logger, WandbLogger) and not logger.experiment.disabled:
        artifact = _weights_artifact(path, file_hash(path), facts)
        artifact.add_file(str(path), name=_entry(path))
        logger.experiment.log_artifact(artifact)


def _weights_artifact(path: Path, sha256: str, facts: Mapping[str, str]) -> wandb.Artifact:
    import wandb

    known = {**facts, "sha256": sha256, "file": path.name}
    return wandb.Artifact(f"weights-{sha256[:16]}", type="model", metadata=known)


def _entry(path: Path) -> str:
    """Return the name of a file of weights in its artifact, whose digest must not depend on what a user calls it."""
    return f"weights{path.suffix}"


def log_images(logger: Logger | None, run: RunFolder, records: Sequence[Record]) -> None:
    """Give W&B a table of the first images of a run: thumbnails, numbers, flags and status.

    Parameters
    ----------
    logger
        The logger; others than that of W&B are left alone.
    run
        The run of a restoration.
    records
        Its records.
    """
    if not isinstance(logger, WandbLogger):
        return
    shown = [record for record in records if record.estimate != "sample"][:MOST_IMAGES]
    columns = ["image_id", *PICTURES, *NUMBERS, "flags", "status"]
    logger.log_table("thumbnails", columns, [_row(record, run.load_result(record.image_id)) for record in shown])


def _row(record: Record, result: ImageResult) -> list[object]:
    pictures = _pictures(record, result)
    return [
        record.image_id,
        *(pictures.get(name) for name in PICTURES),
        *(getattr(record, name) for name in NUMBERS),
        ", ".join(record.flags),
        record.status,
    ]


def _pictures(record: Record, result: ImageResult) -> dict[str, wandb.Image]:
    import wandb

    images = {"truth": result.truth, "adjoint": result.adjoint, "estimate": result.estimates.get(record.estimate)}
    there = {name: image for name, image in images.items() if image is not None}
    reference = next((image for name, image in there.items() if name != "adjoint"), None)
    found = {}
    for name, image in there.items():
        peak = float(np.abs(image if reference is None else reference).max())
        found[name] = wandb.Image(thumbnail(image, peak))
    if result.std is not None:
        spread = rms(result.std)[None]
        found["std"] = wandb.Image(thumbnail(spread + 0j, float(spread.max())), caption=f"0 to {spread.max():.3g}")
    return found


def thumbnail(image: np.ndarray[Any, Any], peak: float) -> Image.Image:
    """Return a small picture of an image (C, H, W), real in [-1, 1] or complex, see `alps_exp.pictures.visible`."""
    picture = Image.fromarray((visible(image, peak or 1.0) * 255).round().astype(np.uint8))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture
