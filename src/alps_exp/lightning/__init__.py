"""What plugs into Lightning: the data module, checkpoints, loggers, the trainer."""

from alps_exp.lightning.checkpointing import KeptCheckpoints
from alps_exp.lightning.data_module import ImageDataModule, StepKeyedBatchSampler
from alps_exp.lightning.profiling import FunctionProfiler

__all__ = [
    "FunctionProfiler",
    "ImageDataModule",
    "KeptCheckpoints",
    "StepKeyedBatchSampler",
]
