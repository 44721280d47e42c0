"""The folder of one run: locked by one process, written file by file, and resumable after any interruption."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import platform
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from alps_exp.checks import check_unique
from alps_exp.errors import OtherVersion
from alps_exp.files import file_hash, file_name, write_atomically
from alps_exp.foreign_files import read_bytes
from alps_exp.runs.image_results import DamagedFile, ImageResult, read_records, read_result, write_result
from alps_exp.runs.provenance import Provenance, changed_code, changed_inputs, check_version, now
from alps_exp.runs.records import Record

log = logging.getLogger(__name__)
LARGEST_CONFIG, LARGEST_RECORDS = 1 << 24, 1 << 30  # bytes
DEEPEST_CONFIG = 50
DONE, FAILED, REFUSED = "DONE", "FAILED", "REFUSED"
MADE_AGAIN = ("images", "volumes")  # folders of files of which each is made on its own


class Vouched(NamedTuple):
    """What `DONE` says of a file: size in bytes, time of its last change in nanoseconds, and SHA-256.

    Runs of earlier versions have sizes alone.
    """

    size: int
    mtime_ns: int | None = None
    sha256: str | None = None


class RunFolder:
    """A run folder ``outputs/VERB/NAME/HASH``.

    The first process of a run holds `lock` from `begin` to `mark_done`. In between, every process may write its own
    images. `merge_records` and `mark_done` come last, after all images are written.

    Parameters
    ----------
    path
        The folder; it is created on the first write.
    verify
        Whether files are compared with `DONE` by their hashes even where size and time are as they were.
    """

    def __init__(self, path: str | Path, verify: bool = False) -> None:
        self.path, self.verify = Path(path), verify

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the folder, on every machine that shares the file system.

        The kernel holds the lock and releases it when the process or its machine dies. The lock file that remains has
        no meaning.

        Raises
        ------
        ValueError
            If another process holds the lock, or something in the folder is a link.
        OSError
            If the file system does not support locks.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        check_no_links(self.path)
        with open(self.path / ".lock", "a+") as file:
            # POSIX locks are not inherited, so this one ends with its owner even if data workers outlive it.
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                file.seek(0)
                owner = file.read() or "another process"
                raise ValueError(f"{self.path} is in use by {owner}: wait until it is done") from error
            except OSError as error:
                raise OSError(error.errno, f"the file system has no locks ({error.strerror})", file.name) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            yield

    def save_config(self, config: DictConfig | dict[str, object]) -> None:
        """Write the resolved config to `config.yaml`.

        Raises
        ------
        omegaconf.errors.MissingMandatoryValue
            If a mandatory value is missing.
        """
        root = config if OmegaConf.is_config(config) else OmegaConf.create(config)
        resolved = OmegaConf.to_container(root, resolve=True, throw_on_missing=True)
        write_atomically(self.path / "config.yaml", _as_yaml(resolved))

    def load_config(self) -> dict[str, object]:
        """Read `config.yaml` as plain values; empty if there is none.

        The file may come from someone else, so it is read as data. A saved config never contains interpolations;
        resolving one could read the environment, and it is refused.

        Raises
        ------
        ValueError
            If the file is not a config, or contains an interpolation.
        """
        path = self.path / "config.yaml"
        if not path.exists():
            return {}
        try:
            saved = read_bytes(path, LARGEST_CONFIG).decode()
            _check_shape(saved)
            values: Any = OmegaConf.to_container(OmegaConf.load(io.StringIO(saved)))
            config = dict(values)
        except (OSError, TypeError, ValueError, RecursionError, OmegaConfBaseException, YAMLError) as error:
            raise ValueError(f"{path} is not a config ({error})") from error
        if (text := _interpolation(config)) is not None:
            raise ValueError(f"{path} is not the config of a run: it says {text} where a saved config has a value")
        return config

    def is_done_with(self, request: Mapping[str, object]) -> bool:
        """Return whether the folder has the finished run of a request that is the same in every key."""
        saved = self.path / "config.yaml"
        return (self.path / DONE).exists() and saved.is_file() and saved.read_bytes() == _as_yaml(request)

    def starts(self) -> list[Provenance]:
        """Return the provenance of every start of the run, oldest first.

        Raises
        ------
        ValueError
            If `provenance.json` cannot be read, or is of another version, see `check_version`.
        """
        path = self.path / "provenance.json"
        if not path.exists():
            return []
        try:
            starts = [Provenance(**entry) for entry in json.loads(read_bytes(path))["runs"]]
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a provenance file ({error})") from error
        for start in starts:
            check_version(self.path, start)
        return starts

    def images_asked(self) -> int | None:
        """Return how many images the last start was to restore; None if it restores none, never started or is lost."""
        starts, _ = self.known_starts()
        return starts[-1].num_images if starts else None

    def check_resume(self, provenance: Provenance, resume_anyway: bool = False) -> list[str]:
        """Compare a new start with the last one; return the differences in checkpoints, data and code, a phrase each.

        Parameters
        ----------
        provenance
            Provenance of the new start.
        resume_anyway
            Whether to accept another checkpoint or other data.

        Raises
        ------
        ValueError
            If a checkpoint or the data differs and `resume_anyway` is false.
        """
        starts, lost = self.known_starts()
        if not starts:
            return lost
        inputs = changed_inputs(starts[-1], provenance)
        if inputs and not resume_anyway:
            raise ValueError(
                f"run folder {self.path} was started with other inputs ({'; '.join(inputs)}):"
                " remove it to start afresh, or give resume_anyway=true to go on"
            )
        return inputs + changed_code(starts[-1], provenance)

    def begin(self, provenance: Provenance, resume_anyway: bool = False) -> None:
        """Record this start, warn about differences from the last one, and remove `DONE`, `FAILED` and `REFUSED`.

        Images and prepared volumes that no longer match `DONE` are removed as well, so that they are made again. Raises
        as `check_resume`.
        """
        provenance.changes = self.check_resume(provenance, resume_anyway)
        for change in provenance.changes:
            log.warning("%s is resumed with a difference: %s", self.path, change)
        # Before DONE goes: only DONE tells which images were changed, and a kill in between must not lose that.
        if self.changed_files():
            self.verify = True  # where something was damaged, nothing is vouched for again unseen
        for name in self.changed_files():
            if (folder := Path(name).parent.name) in MADE_AGAIN:
                (self.path / folder / Path(name).name).unlink(missing_ok=True)
        for mark in (DONE, FAILED, REFUSED):
            (self.path / mark).unlink(missing_ok=True)
        self._remove_leftovers()
        self._write_starts([*self.known_starts()[0], provenance])

    def known_starts(self) -> tuple[list[Provenance], list[str]]:
        """Return the earlier starts, and a phrase if their record is lost; raises `OtherVersion` as `starts`."""
        try:
            starts = self.starts()
        except OtherVersion:
            raise
        except ValueError as error:
            return [], [f"earlier starts are unknown: {error}"]
        lost = not starts and (self.path / DONE).exists()
        return starts, ["earlier starts are unknown: provenance.json is gone"] if lost else []

    def _write_starts(self, starts: Sequence[Provenance]) -> None:
        text = json.dumps({"runs": [asdict(start) for start in starts]}, indent=2)
        write_atomically(self.path / "provenance.json", text.encode())

    def image_path(self, image_id: str) -> Path:
        """Return the file of an image, see `alps_exp.files.file_name`."""
        return self.path / "images" / file_name(image_id, ".h5")

    def save_result(self, image_id: str, result: ImageResult) -> None:
        """Write the result of an image atomically, see `alps_exp.runs.write_result`."""
        write_result(self.image_path(image_id), result)

    def load_result(self, image_id: str) -> ImageResult:
        """Read the result of an image; raises as `alps_exp.runs.read_result`."""
        return read_result(self.image_path(image_id))

    def finished(self, image_id: str) -> bool:
        """Return whether the image has an intact file whose records are all ``ok``; warn if the file is damaged."""
        try:
            result = self.load_result(image_id)
        except FileNotFoundError:
            return False
        except DamagedFile as error:
            log.warning("%s; the image will be restored again", error)
            return False
        return bool(result.records) and all(
            record.status == "ok" and record.image_id == image_id for record in result.records
        )

    def unfinished(self, image_ids: Sequence[str]) -> list[str]:
        """Return the images that remain to be restored, including failed ones, in the given order.

        Raises
        ------
        ValueError
            If an image id occurs twice.
        """
        check_unique(image_ids)
        return [image_id for image_id in image_ids if not self.finished(image_id)]

    def merge_records(self, image_ids: Sequence[str]) -> list[Record]:
        """Collect the records of the images, in the given order, write them to `records.jsonl`, and return them.

        Raises
        ------
        FileNotFoundError, DamagedFile
            If the file of an image is missing or damaged.
        """
        records = [record for image_id in image_ids for record in read_records(self.image_path(image_id))]
        lines = "".join(f"{record.to_json()}\n" for record in records)
        write_atomically(self.path / "records.jsonl", lines.encode())
        self._remove_leftovers()
        return records

    def _remove_leftovers(self) -> None:
        """Remove temporary files of killed processes.

        Called only while no process of the run is writing: before the first image, and after the last.
        """
        for folder in (self.path, self.path / "images", self.path / "checkpoints"):
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink()

    def records(self) -> list[Record]:
        """Read `records.jsonl` or, while it does not exist yet, the records of all images with an intact file.

        Raises
        ------
        ValueError
            If a line of `records.jsonl` is not a record.
        """
        path = self.path / "records.jsonl"
        if path.exists():
            lines = read_bytes(path, LARGEST_RECORDS).decode(errors="replace").splitlines()
            return [_record(line, path, number) for number, line in enumerate(lines, 1)]
        return [record for file in sorted(self.path.glob("images/*.h5")) for record in _whole_records(file)]

    def mark_done(self, files: Iterable[str] = ()) -> None:
        """Record the end of this start, then write `DONE`. A run with failed images is done, too.

        `DONE` is JSON: ``files`` maps the name of every file that it covers to the fields of `Vouched`.

        Parameters
        ----------
        files
            Files that the run leaves in addition to config, provenance, records and images.

        Raises
        ------
        ValueError
            If the run was never begun.
        """
        if not (starts := self.starts()):
            raise ValueError(f"run folder {self.path} cannot be done: it was never begun")
        starts[-1].end = now()
        self._write_starts(starts)
        # DONE comes last, so that its existence implies everything else.
        vouched = {name: _vouched(self.path / name)._asdict() for name in [*self._own_files(), *files]}
        write_atomically(self.path / DONE, json.dumps({"files": vouched}, indent=1).encode())

    def _own_files(self) -> list[str]:
        """Return those of the files common to all runs that exist."""
        each = [path for folder in MADE_AGAIN for path in self.path.glob(f"{folder}/*.h5") if path.name[0] != "."]
        images = sorted(path.relative_to(self.path).as_posix() for path in each)
        named = ("config.yaml", "provenance.json", "records.jsonl")
        return [name for name in named if (self.path / name).exists()] + images

    def vouched_files(self) -> dict[str, Vouched]:
        """Return what `DONE` says of the files that it covers, by name.

        Empty if there is no `DONE`, or if it is damaged or of an earlier version.
        """
        try:
            files = json.loads(read_bytes(self.path / DONE))["files"]
            found = {str(name): Vouched(**values) for name, values in files.items()}
        except (FileNotFoundError, AttributeError, KeyError, TypeError, ValueError, RecursionError):
            return {}
        return found if all(_is_below(name) for name in found) else {}

    def changed_files(self) -> list[str]:
        """Return the names of the files that are missing or differ from `DONE`.

        Contents are compared where the time of the last change differs, and everywhere with `verify`.
        """
        return [name for name, vouched in self.vouched_files().items() if self._has_changed(name, vouched)]

    def _has_changed(self, name: str, vouched: Vouched) -> bool:
        path = self.path / name
        if not path.is_file():
            return True
        status = path.stat()
        if status.st_size != vouched.size:
            return True
        look = self.verify or status.st_mtime_ns != vouched.mtime_ns
        return look and vouched.sha256 is not None and file_hash(path) != vouched.sha256

    def progress(self) -> str:
        """Return in words how far the run is."""
        if self.is_done():
            return "done"
        if not (starts := self.known_starts()[0]):
            return "not begun"
        asked, there = starts[-1].num_images, len(list(self.path.glob("images/[!.]*.h5")))
        return "begun" if asked is None else f"{there} of {asked} images"

    def mark_failed(self, reason: str) -> None:
        """Write the reason why this start ended early to `FAILED`; the next start removes it."""
        write_atomically(self.path / FAILED, f"{now()} {reason}\n".encode())

    def mark_refused(self, reason: str) -> None:
        """Write to `REFUSED` why the request of this start was wrong after all; the next start removes it."""
        write_atomically(self.path / REFUSED, f"{now()} {reason}\n".encode())

    def was_refused(self) -> bool:
        """Return whether the request was wrong, and nothing was restored before that was found out."""
        return (self.path / REFUSED).exists() and not any(self.path.glob("images/[!.]*.h5"))

    def withdraw(self) -> None:
        """Remove the config of a request that never began, which a sweep had written before its first job."""
        if not (self.path / "provenance.json").exists():
            (self.path / "config.yaml").unlink(missing_ok=True)

    def is_done(self) -> bool:
        """Return whether `DONE` exists and all files that it covers are intact."""
        return (self.path / DONE).exists() and not self.changed_files()


def _vouched(path: Path) -> Vouched:
    status = path.stat()
    return Vouched(status.st_size, status.st_mtime_ns, file_hash(path))


def _as_yaml(resolved: Any) -> bytes:
    return OmegaConf.to_yaml(OmegaConf.create(resolved)).encode()


def _check_shape(config: str) -> None:
    """Raise ValueError if a config has aliases, which could multiply without end, or is nested too deeply."""
    depth = 0
    for event in yaml.parse(config):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases, which no saved config has")
        starts = isinstance(event, yaml.CollectionStartEvent)
        depth += starts - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST_CONFIG:
            raise ValueError(f"it is nested more than {DEEPEST_CONFIG} deep")


def check_no_links(folder: Path) -> None:
    """Check that a run folder has no links, through which a run would write, and remove, somewhere else.

    Raises
    ------
    ValueError
        With the first that is one, or a pipe or device, on which a run would wait.
    """
    parts = [folder, *(path for each in (folder, folder / "checkpoints") if each.is_dir() for path in each.iterdir())]
    for path in parts:
        status = path.lstat() if path.is_symlink() or path.exists() else None
        if status is None:
            continue
        shared = path.name == ".lock" or path.suffix == ".log"  # written in place
        if stat.S_ISLNK(status.st_mode) or (shared and status.st_nlink > 1):
            raise ValueError(f"{path} is a link, and a run writes to its own folder alone: remove it")
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ValueError(f"{path} is no plain file: remove it")


def _is_below(name: str) -> bool:
    """Return whether a name stays within a folder: a file may come from someone else."""
    return not PurePath(name).is_absolute() and ".." not in PurePath(name).parts


def _interpolation(node: object) -> str | None:
    """Return the first text in nested values that OmegaConf would treat as an interpolation."""
    if isinstance(node, str):
        return node if "${" in node else None
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return next((text for part in parts if (text := _interpolation(part)) is not None), None)


def _whole_records(file: Path) -> list[Record]:
    try:
        return read_records(file)
    except DamagedFile as error:
        log.warning("%s; its records are left out", error)
        return []


def _record(line: str, path: Path, number: int) -> Record:
    try:
        return Record.from_json(line)
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}") from error
