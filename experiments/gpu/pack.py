"""Packs what a machine with a GPU and no network lacks into one folder: pure Python packages, and faces at 64 pixels.

Faces are those of `data=faces`, cropped and resized as its trainings read them: as lossy WebP of the highest quality at
which the folder keeps to its limit, but for the first validation images, which lose nothing. Every image has its place
and its id, so that recipes read them with another path and without the crop.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from alps_exp.config.folder import config_folder
from alps_exp.runs import register_resolvers
from alps_exp.runs.provenance import code_version

PACKAGES = ("hydra-core", "omegaconf", "antlr4-python3-runtime==4.9.3")
CELEBA, AAF = "celeba_64.zip", "aaf_ffhq_aligned_64.zip"
LOSSLESS = range(8500, 8600)  # images of CelebA that validate every recipe
QUALITIES = range(98, 58, -1)
EVERY = 97  # images of the sample from which sizes are told
OF_AN_ENTRY, OF_A_LOSSLESS = 104, 7_000  # bytes of a zip archive beside those of the file, and of such an image
LARGEST, MIB = 30.0, 2**20


def pack_packages(folder: Path, constraints: Path) -> list[str]:
    """Install the packages into a folder without what they need in turn, and return their names and versions."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(folder)]
    subprocess.run([*command, "--constraint", str(constraints), *PACKAGES], check=True)
    if compiled := [*folder.rglob("*.so"), *folder.rglob("*.pyd")]:
        raise ValueError(f"{compiled[0]} is compiled, expected pure Python, which runs on any machine")
    return sorted(path.stem for path in folder.glob("*.dist-info"))


def faces() -> dict[str, Any]:
    """Return the datasets of faces, by the name of the archive that they become."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        data = compose("train", ["data=faces"]).data
    return {CELEBA: instantiate(data.test, indices=None), AAF: instantiate(data.train.datasets[1])}


def pixels(dataset: Any, index: int) -> np.ndarray:
    """Return an image of a dataset as uint8 (H, W, 3)."""
    return ((dataset[index]["image"] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


def encoded(image: np.ndarray, **options: Any) -> bytes:
    """Return an image as WebP."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "webp", method=6, use_sharp_yuv=True, **options)
    return buffer.getvalue()


def psnr(file: bytes, image: np.ndarray) -> float:
    """Return how near an encoded image is to what it was, in dB."""
    error = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), float) - image
    return float(10 * np.log10(255**2 / np.square(error).mean()))


def choose_quality(datasets: Collection[Any], budget: float) -> tuple[int, float]:
    """Return the highest quality at which all images fit into so many bytes, and its mean PSNR."""
    count = sum(map(len, datasets))
    sample = [pixels(dataset, i) for dataset in datasets for i in range(0, len(dataset), EVERY)]
    for quality in QUALITIES:
        files = [encoded(image, quality=quality) for image in sample]
        size = np.mean([len(file) for file in files]) + OF_AN_ENTRY
        if size * count <= budget:
            return quality, float(np.mean([psnr(*pair) for pair in zip(files, sample, strict=True)]))
    raise ValueError(f"{count} faces do not fit into {budget / MIB:.1f} MiB: give a higher --limit")


def write_archive(path: Path, dataset: Any, quality: int, lossless: Collection[int]) -> None:
    """Write the images of a dataset as a zip archive, which is the same for the same images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i, image_id in enumerate(dataset.image_ids):
            options = {"lossless": True} if i in lossless else {"quality": quality}
            archive.writestr(zipfile.ZipInfo(f"{image_id}.webp"), encoded(pixels(dataset, i), **options))


def size_of(folder: Path) -> int:
    """Return the bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def size_of_tree(root: Path) -> int:
    """Return the bytes of the files that git tracks."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=True)
    paths = [root / name for name in listed.stdout.split("\0") if name]
    return sum(path.stat().st_size for path in paths if path.exists())


def main() -> None:
    """Make the folder anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=float, default=LARGEST, help="MiB of the folder, at most 30")
    options = parser.parse_args()
    limit = min(options.limit, LARGEST)
    root = Path(__file__).parents[2]
    shutil.rmtree(options.folder, ignore_errors=True)
    packages = pack_packages(options.folder / "site", root / "constraints.txt")
    datasets = faces()
    budget = limit * MIB - size_of(options.folder) - len(LOSSLESS) * OF_A_LOSSLESS
    quality, decibels = choose_quality(datasets.values(), 0.99 * budget)
    for name, dataset in datasets.items():
        lossless = LOSSLESS if name == CELEBA else ()
        write_archive(options.folder / "data/faces" / name, dataset, quality, lossless)
    about = {
        "commit": code_version(root / "src/alps_exp").get("commit"),
        "packages": packages,
        "faces": {name: len(dataset) for name, dataset in datasets.items()},
        "webp": {"quality": quality, "psnr": round(decibels, 2)},
    }
    (options.folder / "about.json").write_text(json.dumps(about, indent=2) + "\n")
    size = size_of(options.folder) / MIB
    print(
        f"{json.dumps(about)}\n{options.folder}: {size:.1f} MiB, beside {size_of_tree(root) / MIB:.1f} MiB of the tree"
    )
    if size > limit:
        raise SystemExit(f"{options.folder} has {size:.1f} MiB, expected at most {limit:g}")


if __name__ == "__main__":
    register_resolvers()
    main()
