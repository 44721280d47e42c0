"""How fast photographs are loaded from a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from alps_exp.benchmarks.timing import Row, repeated, row, timed
from alps_exp.datasets import ImageFolder
from alps_exp.lightning import ImageDataModule

COUNT, PIXELS, SIZE = 64, 256, 64


def loading(repeats: int, device: torch.device) -> Iterator[Row]:
    """Yield the images a second that one process reads from JPEG files of 256 x 256 pixels, at 64 x 64 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        for index in range(COUNT):
            pixels = generator.integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path(folder) / f"{index:03}.jpg")
        data = ImageDataModule(test=ImageFolder(folder, size=SIZE), batch_size=8)
        data.setup("predict")

        def read() -> None:
            for _ in data.predict_dataloader():
                pass

        rates = [COUNT / spent for _, spent in repeated(partial(timed, read, device), repeats)]
        yield row("loading", f"JPEG files of {PIXELS} px at {SIZE} px, one process", rates, "images/s")
