"""The models that come with the package."""

from __future__ import annotations

from pathlib import Path

from alps_exp.checkpoints.diffusers_folder import diffusers_weights

SHIPPED = Path(__file__).parent / "models"


def shipped_models(kind: str) -> list[str]:
    """Return the names of the shipped models of a kind (`teacher` or `energy`)."""
    suffix = f"-{kind}.safetensors"
    return sorted(path.name.removesuffix(suffix) for path in SHIPPED.glob(f"*{suffix}"))


def model_path(name: str | Path, kind: str) -> Path:
    """Return the file of a model.

    Parameters
    ----------
    name
        Name of a shipped model or, if there is none of that name, path of a file, or of a folder of diffusers.
    kind
        ``teacher`` or ``energy``.

    Raises
    ------
    ValueError
        If there is no such model, or the folder is not one of a network.
    """
    for path in (SHIPPED / f"{name}-{kind}.safetensors", Path(name)):
        if path.is_file():
            return path
    if Path(name).is_dir():
        return diffusers_weights(Path(name))
    shipped = ", ".join(shipped_models(kind))
    raise ValueError(f"no {kind} {str(name)!r}: expected a safetensors file or a shipped model ({shipped})")
