"""Weights on disk: safetensors with the architecture in their header, a model card beside them; other files read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from alps_exp.files import write_atomically
from alps_exp.networks.preconditioning import Preconditioned, architecture_of, build
from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy
from alps_exp.priors.nvlabs import read_nvlabs
from alps_exp.priors.state_dicts import Weights, load_into, read_weights

SHIPPED = Path(__file__).parent / "models"
ZIP, LEGACY_TORCH, PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", b"\x80"
"""First bytes of torch's files, of those before torch 1.6, and of pickles."""


@dataclass(frozen=True)
class Origin:
    """Weights that a training went on from: their file's hash, and the steps of their own training, if known."""

    sha256: str
    steps: int | None


@dataclass(frozen=True)
class History:
    """How weights were trained: the steps, and from which weights on, those that these went on from behind them."""

    steps: int
    origins: list[Origin]


@dataclass(frozen=True)
class Checkpoint:
    """A network from a file, its kind (`teacher`, `energy`; None if the file does not say), and further facts."""

    network: Preconditioned
    kind: str | None
    format: str
    notes: dict[str, str] = field(default_factory=dict)
    history: History | None = None


class NoArchitecture(ValueError):
    """Raised for a file of `weights` that does not say what network they are of."""

    def __init__(self, path: Path, weights: Weights) -> None:
        super().__init__(f"{path} holds weights alone: name a teacher of their architecture with architecture=PATH")
        self.weights = weights


def shipped_models(kind: str) -> list[str]:
    """Return the names of the models of a kind (`teacher` or `energy`) that come with the package."""
    suffix = f"-{kind}.safetensors"
    return sorted(path.name.removesuffix(suffix) for path in SHIPPED.glob(f"*{suffix}"))


def model_path(name: str | Path, kind: str) -> Path:
    """Return the file of a shipped model's name or of a path.

    Raises
    ------
    ValueError
        If it is neither.
    """
    for path in (SHIPPED / f"{name}-{kind}.safetensors", Path(name)):
        if path.is_file():
            return path
    shipped = ", ".join(shipped_models(kind))
    raise ValueError(f"no {kind} {str(name)!r}: expected a safetensors file or a shipped model ({shipped})")


def load_teacher(
    name: str | Path,
    architecture: str | Path | None = None,
    class_label: int | None = None,
    source: str | None = None,
    sha256: str | None = None,
) -> Denoiser:
    """Load a teacher by the name of a shipped model or the path of a file.

    Parameters
    ----------
    name
        A shipped model, a safetensors file, a pickle of NVlabs' EDM code, or weights in torch's or Lightning's files.
    architecture
        For weights alone: a teacher, by name or path, that has their architecture.
    class_label
        The class that a network of several classes is asked for; None: no class.
    source
        Where the file is published, which is said if it is not there.
    sha256
        What the file's hash must be; None: anything.

    Raises
    ------
    ValueError
        If there is no such file, its hash or kind is another, it is damaged or unsafe, or does not fit its
        architecture.
    """
    return Denoiser(_load(name, "teacher", architecture, class_label, source, sha256)).eval()


def load_energy(
    name: str | Path,
    architecture: str | Path | None = None,
    class_label: int | None = None,
    source: str | None = None,
    sha256: str | None = None,
) -> Energy:
    """Load an energy by the name of a shipped model or the path of a file; arguments and errors as `load_teacher`."""
    return Energy(_load(name, "energy", architecture, class_label, source, sha256)).eval()


def _load(
    name: str | Path,
    kind: str,
    architecture: str | Path | None,
    class_label: int | None,
    source: str | None,
    sha256: str | None,
) -> Preconditioned:
    if source and not Path(name).is_file():
        raise ValueError(f"no file {name}: fetch {source} to there, or name another place with {kind}.name=PATH")
    path = model_path(name, kind)
    if sha256 and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        raise ValueError(f"{path} has the SHA-256 {found}, expected {sha256}")
    checkpoint = read_checkpoint(path, architecture)
    if checkpoint.kind not in (kind, None):
        raise ValueError(f"{path} holds the weights of this kind: {checkpoint.kind}; expected: {kind}")
    network = checkpoint.network.requires_grad_(False)
    classes = network.model.label_dim
    if class_label is not None and not 0 <= class_label < classes:
        raise ValueError(f"class_label is {class_label}, the network in {path} has {classes} classes")
    network.class_label = class_label
    return network


def read_checkpoint(path: Path, architecture: str | Path | None = None) -> Checkpoint:
    """Read a network from a file of any format; which one is told by the first bytes.

    Parameters
    ----------
    path
        The file.
    architecture
        A teacher, by name or path, whose architecture weights have that come without one.

    Raises
    ------
    ValueError
        If the file is damaged, unsafe, of no known format, or does not fit its architecture; `NoArchitecture` if it
        has none.
    """
    with open(path, "rb") as file:
        start = file.read(16)
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if start.startswith((ZIP, LEGACY_TORCH)):
        return _read_torch(path, architecture)
    if start.startswith(PICKLE):
        network, notes = read_nvlabs(path)
        return Checkpoint(network, "teacher", "NVlabs EDM pickle", notes)
    raise ValueError(f"{path} is not a safetensors file, a torch file or a pickle")


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from error
    if "kind" not in header:
        raise ValueError(f"{path} holds the weights of this kind: model of unknown kind; expected: teacher or energy")
    with _fitting(path):
        network = build(json.loads(header["architecture"]))
        network.load_state_dict(state)
    return Checkpoint(network, header["kind"], "safetensors", history=_history(header))


def _history(header: Mapping[str, str]) -> History | None:
    if "history" not in header:
        return None
    told = json.loads(header["history"])
    return History(told["steps"], [Origin(**origin) for origin in told["origins"]])


def lineage(path: Path) -> list[Origin]:
    """Return the weights in a file as an origin, and behind them those that they went on from."""
    history = None
    with suppress(SafetensorError), safe_open(path, framework="pt") as file:
        history = _history(file.metadata() or {})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return [Origin(digest, history.steps if history else None), *(history.origins if history else [])]


def _read_torch(path: Path, architecture: str | Path | None) -> Checkpoint:
    weights = read_weights(path)
    if architecture is None and "architecture" not in weights.record:
        raise NoArchitecture(path, weights)
    given = read_checkpoint(model_path(architecture, "teacher")).network if architecture is not None else None
    with _fitting(path):
        network = given or build(weights.record["architecture"])
        load_into(network, weights.tensors)
    return Checkpoint(network, weights.record.get("kind"), weights.format, weights.notes)


@contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """Turn what weights and architecture raise that do not fit each other into one ValueError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the weights in {path} do not fit their architecture: {reason}") from error


def save_model(
    path: Path,
    network: Preconditioned,
    kind: str,
    dtype: torch.dtype = torch.float32,
    history: History | None = None,
) -> None:
    """Write a teacher's or an energy's network atomically to a safetensors file, as `model_bytes` gives it."""
    write_atomically(path, model_bytes(network, kind, dtype, history))


def model_bytes(
    network: Preconditioned, kind: str, dtype: torch.dtype = torch.float32, history: History | None = None
) -> bytes:
    """Return the content of a safetensors file of a network, its weights as `dtype`, its buffers as they are.

    Equal weights with an equal history make equal files.

    Raises
    ------
    ValueError
        If a weight is not finite as `dtype`.
    """
    weights = dict(network.named_parameters())
    state = {
        name: (value.to(dtype) if name in weights else value).contiguous()
        for name, value in network.state_dict().items()
    }
    if wrong := [name for name, value in state.items() if not value.isfinite().all()]:
        raise ValueError(f"the weights {wrong[0]} are not finite as {str(dtype).removeprefix('torch.')}")
    notes = {"kind": kind, "architecture": json.dumps(architecture_of(network))}
    if history is not None:
        notes["history"] = json.dumps(asdict(history))
    return _with_sorted_header(save(state, metadata=notes))


def _with_sorted_header(content: bytes) -> bytes:
    """Return the bytes of a safetensors file with the keys of its header in order; the library's vary."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors start at a multiple of eight bytes
    return len(header).to_bytes(8, "little") + header + content[end:]


def describe(network: Preconditioned) -> dict[str, str]:
    """Return what a model card says of a network."""
    architecture = architecture_of(network)
    model = architecture.pop("model")
    preconditioning, kind = architecture.pop("preconditioning"), architecture.pop("network")
    return {
        "preconditioning": _listed(preconditioning, architecture),
        "architecture": _listed(kind, model),
        "resolution": f"{model['img_resolution']} x {model['img_resolution']}, {network.channels} channels",
        "parameters": f"{sum(p.numel() for p in network.parameters()):,}",
    }


def _listed(name: str, arguments: Mapping[str, object]) -> str:
    return ", ".join([name, *(f"{key} {value}" for key, value in arguments.items())])


def write_card(path: Path, title: str, entries: Mapping[str, str]) -> None:
    """Write a model card atomically: a title, then a table of entries."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in entries.items())
    write_atomically(path, f"# {title}\n\n| | |\n|---|---|\n{rows}\n".encode())
