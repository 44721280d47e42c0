"""File formats of networks: read into networks, and written."""

from alps_exp.checkpoints.safetensors_file import save_model
from alps_exp.checkpoints.shipped import model_path

__all__ = [
    "model_path",
    "save_model",
]
