"""The origin of a result: command, code, packages, machine, seeds, and hashes of the inputs."""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from alps_exp import __version__
from alps_exp.batch import ImageDataset, TrainingImages
from alps_exp.errors import OtherVersion
from alps_exp.files import file_hash
from alps_exp.runs.field_types import check_fields

PACKAGES = (
    "h5py",
    "hydra-core",
    "numpy",
    "omegaconf",
    "pytorch-lightning",
    "sigpy",
    "torch",
    "torchmetrics",
)

RENAMED = (0, 2)
"""The version from which on configs and records have today's names."""


@dataclass
class Provenance:
    """One start of a run; `provenance.json` has an entry per start.

    Attributes
    ----------
    command
        The command line, as in `sys.argv`.
    start
        When it began: UTC in ISO 8601, to the second.
    end
        When it was done, as `start`; None until then.
    host
        Name of the machine.
    device
        Device of the run, for readers; may be empty.
    python
        Version of Python.
    packages
        Versions of the installed packages among `PACKAGES`, by name.
    code
        ``version`` and, for a checkout, ``commit``, ``diff`` (of tracked files) and ``untracked``.
    seeds
        Seeds of the request by key.
    checkpoints
        ``path`` and ``sha256`` of the weights by role (``energy``, ``teacher``). Weights that come from no file have
        the role ``prior``, with the name of its class as the path.
    data
        Hash of the dataset's index and of mask files, see `index_hash`; None without a dataset.
    num_images
        Number of images to restore; None for runs that restore none.
    changes
        Differences from the previous start, one phrase each.
    original
        Folder of the run that this one repeats; None if it repeats none.
    differences
        Differences from the last start of the original, one phrase each.
    effective_batch
        Images in a step of a training, on all devices; None for other runs.

    Raises
    ------
    TypeError
        If a value has the wrong type, or `code` is not empty and has no ``version``.
    """

    command: list[str]
    start: str
    end: str | None
    host: str
    device: str
    python: str
    packages: dict[str, str]
    code: dict[str, str]
    seeds: dict[str, int]
    checkpoints: dict[str, dict[str, str]]
    data: str | None
    num_images: int | None
    changes: list[str] = field(default_factory=list)
    original: str | None = None
    differences: list[str] = field(default_factory=list)
    effective_batch: int | None = None

    def __post_init__(self) -> None:
        """Raise TypeError for a value of the wrong type, since files may hold anything."""
        check_fields(vars(self), Provenance)
        if self.code and "version" not in self.code:
            raise TypeError("code has no version")


def collect_provenance(
    *,
    seeds: Mapping[str, int],
    device: str = "",
    checkpoints: Mapping[str, Path] | None = None,
    data_hash: str | None = None,
    num_images: int | None = None,
) -> Provenance:
    """Collect the provenance of a run that starts now.

    Parameters
    ----------
    seeds
        Seeds of the request by key.
    device
        Device of the run, for readers.
    checkpoints
        Weight files that the run reads, by role.
    data_hash
        Hash of the dataset's index, see `index_hash`.
    num_images
        Number of images to restore; None for runs that restore none.

    Raises
    ------
    FileNotFoundError
        If a checkpoint does not exist.
    """
    return Provenance(
        command=list(sys.argv),
        start=now(),
        end=None,
        host=platform.node(),
        device=device,
        python=platform.python_version(),
        packages=dict(_package_versions()),
        code=dict(_own_code()),
        seeds=dict(seeds),
        checkpoints={
            role: {"path": str(path), "sha256": file_hash(path)} for role, path in (checkpoints or {}).items()
        },
        data=data_hash,
        num_images=num_images,
    )


def now() -> str:
    """Return the current UTC time in ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def check_version(run: Path, start: Provenance) -> None:
    """Check that the version which started a run uses the same names in configs and records as this one.

    Raises
    ------
    OtherVersion
        If it was not.
    """
    version = start.code.get("version")
    if version is not None and tuple(map(int, re.findall(r"\d{1,9}", version)[:2])) < RENAMED:
        raise OtherVersion(
            f"{run} is a run of alps_exp {version}, whose configs and records use other names than those of"
            f" {__version__}: remove it, or use it with that version"
        )


@functools.cache
def _own_code() -> dict[str, str]:
    """Return the code that this process runs, as it was at the first question: later jobs of a sweep run it as well."""
    return code_version(Path(__file__).parents[1])


@functools.cache
def _package_versions() -> dict[str, str]:
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def code_version(package: Path) -> dict[str, str]:
    """Return the version of the package and, if git tracks its folder, the commit and the uncommitted changes.

    Parameters
    ----------
    package
        Folder of the package's source.
    """
    version = {"version": __version__}
    # An installed package may lie inside an unrelated checkout, which does not track it.
    if _git(package, "ls-files", "--", ".") and (commit := _git(package, "rev-parse", "--verify", "HEAD")):
        version["commit"] = commit.strip()
        version["diff"] = _git(package, "diff", "HEAD", "--", ":/") or ""
        version["untracked"] = _git(package, "ls-files", "--others", "--exclude-standard", "--", ".") or ""
    return version


def _git(folder: Path, *arguments: str) -> str | None:
    """Return the output of a git command; None without git or outside a repository."""
    try:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout


def changed_inputs(before: Provenance, after: Provenance) -> list[str]:
    """Describe the differences in checkpoints, data and batch between two starts of a run, one phrase each."""
    changes = []
    for role in sorted({*before.checkpoints, *after.checkpoints}):
        old, new = (p.checkpoints.get(role, {}).get("sha256") for p in (before, after))
        if old != new:
            changes.append(f"{role} checkpoint {_short(old)} before, {_short(new)} now")
    batches = before.effective_batch, after.effective_batch
    if None not in batches and batches[0] != batches[1]:
        changes.append(f"effective batch {batches[0]} before, {batches[1]} now")
    if before.data != after.data:
        changes.append(f"data {_short(before.data)} before, {_short(after.data)} now")
    return changes


def changed_code(before: Provenance, after: Provenance) -> list[str]:
    """Describe the difference in code between two starts of a run, in at most one phrase."""
    if before.code == after.code:
        return []
    return [f"code {_code_name(before.code)} before, {_code_name(after.code)} now"]


def changed_environment(before: Provenance, after: Provenance) -> list[str]:
    """Describe the differences in packages, Python and device between two starts, one phrase each."""
    old, new = ({"python": p.python, **p.packages, "device": p.device} for p in (before, after))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name} {old.get(name, 'none')} before, {new.get(name, 'none')} now" for name in names]


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"


def _code_name(code: Mapping[str, str]) -> str:
    name = code.get("commit", "")[:12] or code["version"]
    changes = code.get("diff", "") + code.get("untracked", "")
    return f"{name} with changes {hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else name


def index_hash(dataset: ImageDataset | TrainingImages, masks: Sequence[Path] = ()) -> str:
    """Return the SHA-256 of a dataset's index, a line for each image, and of the files that mask what is measured."""
    lines = [*dataset.index, *(file_hash(path) for path in masks if path.is_file())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
