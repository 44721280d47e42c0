"""The estimates of a run as files that other programs read, in the units of their source."""

from alps_exp.export.formats import FORMATS
from alps_exp.export.run import Exported, export_run

__all__ = ["FORMATS", "Exported", "export_run"]
