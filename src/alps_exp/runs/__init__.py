"""What makes a run durable: its folder, its records, its provenance, and the hash that names it."""

from alps_exp.runs.folder import DONE, RunFolder
from alps_exp.runs.image_results import (
    DamagedFile,
    ImageResult,
    read_records,
    read_result,
    read_source,
    write_result,
)
from alps_exp.runs.provenance import Provenance, collect_provenance
from alps_exp.runs.records import ESTIMATES, Record
from alps_exp.runs.run_hash import config_hash, register_resolvers, request

__all__ = [
    "DONE",
    "DamagedFile",
    "ESTIMATES",
    "ImageResult",
    "Provenance",
    "Record",
    "RunFolder",
    "collect_provenance",
    "config_hash",
    "read_records",
    "read_result",
    "read_source",
    "register_resolvers",
    "request",
    "write_result",
]
