"""Reads the files that W&B leaves offline."""

import json
import struct
import time

BLOCK, HEADER, FULL, LAST = 32768, 7, 1, 4  # of LevelDB's log format, in which W&B writes


def records(file):
    """Yield the records of an offline run, after the seven bytes that name the format."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = file.read_bytes(), HEADER, b""
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + HEADER])
        parts += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (FULL, LAST):
            yield Record.FromString(parts)
            parts = b""


def logged(folder):
    """Return the one run that W&B's files in a folder hold, and the names of its metrics."""
    (file,) = folder.rglob("offline-run-*/*.wandb")
    deadline, runs = time.monotonic() + 30, []
    while not runs and time.monotonic() < deadline:  # W&B's service writes the file, in its own time
        found = list(records(file))
        runs = [record.run for record in found if record.HasField("run")]
    names = {item.key or item.nested_key[0] for r in found if r.HasField("history") for item in r.history.item}
    return runs[0], names


def whole(folder):
    """Return the records of the one offline run in a folder, once its service has written the last one."""
    (file,) = folder.rglob("offline-run-*/*.wandb")
    deadline, found = time.monotonic() + 30, []
    while time.monotonic() < deadline and not any(record.HasField("exit") for record in found):
        found = list(records(file))
    return found


def items_of(found):
    """Return what was logged, in order."""
    return [item for record in found if record.HasField("history") for item in record.history.item]


def history(found):
    """Return the last value of every metric by name."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items_of(found)}


def artifacts(found):
    """Return the artifacts of a run by name."""
    return {record.artifact.name: record.artifact for record in found if record.HasField("artifact")}
