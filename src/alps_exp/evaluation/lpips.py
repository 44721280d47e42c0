"""The learned perceptual distance LPIPS (version 0.1, AlexNet), where its weights are there.

torchmetrics has the distance too, but asks torchvision for AlexNet, at every call and by download if need be. That
package is no dependency, and from the package index it cannot be imported beside a CPU build of PyTorch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
import torchmetrics
from torch import Tensor, nn

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
    """Return ``lpips`` of every RGB image, in float64; nothing without a model, or for other images.

    Parameters
    ----------
    model
        The distance, see `load_lpips`; None: there are no weights.
    estimate
        Real images (..., 3, H, W) of at least 31 x 31 pixels, clipped to [-1, 1].
    truth
        Ground truth; broadcasts against `estimate`.
    """
    if model is None or truth.is_complex() or truth.shape[-3] != 3 or min(truth.shape[-2:]) < SMALLEST:
        return {}
    return {"lpips": model.to(truth.device)(estimate, truth).double()}


@lru_cache(maxsize=1)
def load_lpips(path: str | None = None) -> LPIPS | None:
    """Return LPIPS with AlexNet's weights from a file or PyTorch's hub folder, or None, with a note of what is missing.

    The heads come with torchmetrics. Nothing is ever downloaded.

    Parameters
    ----------
    path
        torchvision's AlexNet (``.pth``). None looks in PyTorch's hub folder, where torchvision leaves that file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file does not hold these weights.
    """
    if path is not None and not Path(path).is_file():
        raise FileNotFoundError(f"no weights for LPIPS at {path}")
    alexnet, heads = Path(path) if path is not None else _hub_file(), _heads_file()
    if not alexnet.is_file():
        log.warning("no LPIPS: there is no %s; give torchvision's weights of AlexNet as lpips=FILE", alexnet)
        return None
    if not heads.is_file():
        log.warning("no LPIPS: this torchmetrics lacks its heads, %s; install another version of it", heads)
        return None
    return LPIPS(_read(alexnet), _read(heads))


def _hub_file() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / HUB_FILE


def _heads_file() -> Path:
    return Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"


def _read(path: Path) -> dict[str, Tensor]:
    fault = f"{path} holds no weights of AlexNet's LPIPS"
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of anything else can raise anything
        raise ValueError(fault) from error
    if not isinstance(weights, dict):
        raise ValueError(fault)
    return weights
