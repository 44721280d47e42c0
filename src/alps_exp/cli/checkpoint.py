"""`alps checkpoint`: inspect a checkpoint of any format, or convert it to safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from alps_exp.checkpoints.checkpoint import Checkpoint
from alps_exp.checkpoints.diffusers_folder import diffusers_weights
from alps_exp.checkpoints.model_card import describe, write_card
from alps_exp.checkpoints.reading import NoArchitecture, read_checkpoint
from alps_exp.checkpoints.safetensors_file import model_bytes
from alps_exp.checkpoints.wrappings import Choice, Found
from alps_exp.files import file_hash, write_atomically
from alps_exp.runs.job import JobContext


def checkpoint(
    job: JobContext,
    /,
    *,
    action: Literal["inspect", "convert"],
    path: str,
    architecture: str | Mapping[str, object] | None,
    key: str | None,
    prefix: str | None,
    kind: Literal["teacher", "energy"] | None,
    output: str | None,
    weights: Literal["float32", "float16"],
    license: str,
) -> int:
    """Print the contents of a checkpoint, or convert it to safetensors with a model card; return the exit status.

    Parameters
    ----------
    job
        The job.
    action
        inspect: describe the file; convert: to safetensors.
    path
        The file: NVlabs' pickle, torch, Lightning or safetensors; or a folder of diffusers.
    architecture
        For weights alone: a teacher of their architecture, by name or path.
    key
        Key of the weights, in a file that holds several, as ema.
    prefix
        Prefix of their names, in a file with several networks, as net_ema.
    kind
        What the weights are, where the file does not say: teacher or energy.
    output
        The file to write; null: beside the one that is read.
    weights
        Precision of the weights that are written: float32 or float16.
    license
        License of the weights, for their card.

    Examples
    --------
    alps checkpoint inspect path=edm-ffhq-64x64-uncond-ve.pkl
    alps checkpoint convert path=edm-ffhq-64x64-uncond-ve.pkl weights=float16
    alps checkpoint convert path=authors.pth architecture=faces64 kind=energy output=my.safetensors
    """
    source = diffusers_weights(Path(path)) if Path(path).is_dir() else Path(path)
    choice = Choice(key, prefix)
    if not source.is_file():
        raise ValueError(f"no file {source}: expected a checkpoint in path=PATH")
    if action == "inspect":
        print("\n".join(f"{name:20} {value}" for name, value in _facts(source, architecture, choice).items()))
        return 0
    target = Path(output) if output else _beside(Path(path))
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the file that is read: name the one to write with output=PATH")
    if target.exists():
        raise ValueError(f"{target} is there already: remove it, or name another with output=PATH")
    read = read_checkpoint(source, architecture, choice)
    content = model_bytes(read.network, _kind(source, read, kind), getattr(torch, weights), read.history)
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "license": license}
    card = _source(source, read) | describe(read.network) | facts
    write_card(target.with_suffix(".md"), f"{target.stem}: {_kind(source, read, kind)}", card)
    write_atomically(target, content)  # last: existing weights mean that the conversion is complete
    print(target)
    return 0


def _beside(path: Path) -> Path:
    """Return the safetensors file of the name of a file or folder, in the folder that holds it."""
    return path.with_suffix(".safetensors") if path.is_file() else Path(f"{path.resolve()}.safetensors")


def _facts(path: Path, architecture: str | Mapping[str, object] | None, choice: Choice) -> dict[str, str]:
    try:
        read = read_checkpoint(path, architecture, choice)
    except NoArchitecture as error:
        return {
            "format": error.weights.format,
            "source sha256": file_hash(path),
            **error.weights.notes,
            **{f"key={key}" if key else "weights": _told(found) for key, found in error.weights.found.items()},
            "architecture": "not in the file: name a teacher that has it with architecture=PATH",
        }
    return _source(path, read) | {"kind": read.kind or "not in the file"} | describe(read.network)


def _told(found: Found) -> str:
    tensors = found if isinstance(found, list) else list(found.values())
    first = "" if isinstance(found, list) else f", the first {next(iter(found))}"
    return f"{len(tensors)} tensors{first}, {sum(tensor.numel() for tensor in tensors):,} numbers"


def _source(path: Path, read: Checkpoint) -> dict[str, str]:
    return {"source": path.name, "format": read.format, "source sha256": file_hash(path)} | read.notes


def _kind(path: Path, read: Checkpoint, given: str | None) -> str:
    """Return the kind on which file and request agree."""
    if read.kind is None and given is None:
        raise ValueError(f"{path} does not say what its weights are: expected kind=teacher or kind=energy")
    if None not in (read.kind, given) and read.kind != given:
        raise ValueError(f"kind is {given}, the weights in {path} are those of a {read.kind}")
    return str(read.kind or given)
