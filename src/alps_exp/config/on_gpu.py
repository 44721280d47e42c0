"""Values of a config that are to fit the device it runs on."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf


def register_device_resolver() -> None:
    """Let a config say ``${on_gpu:A,B}``: A where `trainer.accelerator` means an NVIDIA or AMD GPU, else B.

    The config that is resolved, hashed and kept has the value itself.
    """
    OmegaConf.register_new_resolver("on_gpu", _on_gpu, replace=True)


def _on_gpu(value: Any, otherwise: Any, *, _root_: DictConfig) -> Any:
    accelerator = OmegaConf.select(_root_, "trainer.accelerator")
    if accelerator == "auto":
        import torch  # takes seconds, which --help need not wait for

        return value if torch.cuda.is_available() else otherwise
    return value if accelerator in ("gpu", "cuda") else otherwise
