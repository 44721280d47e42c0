"""Benchmarks: what the package costs against the bare network, the published loop, and its own past."""

from alps_exp.benchmarks.parts import PARTS
from alps_exp.benchmarks.timing import Row, machine

__all__ = ["PARTS", "Row", "machine"]
