"""What plugs into Lightning: the data module, checkpoints, loggers, the trainer."""

from alps_exp.lightning.checkpointing import KeptCheckpoints
from alps_exp.lightning.data_module import ImageDataModule, StepKeyedBatchSampler

__all__ = [
    "ImageDataModule",
    "KeptCheckpoints",
    "StepKeyedBatchSampler",
]
