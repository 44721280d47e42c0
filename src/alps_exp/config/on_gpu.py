"""The resolver ``on_gpu``: config values that depend on the device."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf


def register_device_resolver() -> None:
    """Register ``${on_gpu:A,B}``: A if `trainer.accelerator` selects an NVIDIA or AMD GPU, otherwise B.

    The resolved config, which is hashed and saved, contains the value itself.
    """
    OmegaConf.register_new_resolver("on_gpu", _on_gpu, replace=True)


def _on_gpu(value: object, otherwise: object, *, _root_: DictConfig) -> object:
    accelerator = OmegaConf.select(_root_, "trainer.accelerator")
    if accelerator == "auto":
        import torch  # here, because it takes seconds, and --help does not need it

        return value if torch.cuda.is_available() else otherwise
    return value if accelerator in ("gpu", "cuda") else otherwise
