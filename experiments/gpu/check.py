"""Checks a GPU: a restoration against the CPU, the time of the steps of samplers and trainings, and their memory.

Writes `check.json` and the page `RESULTS.md` into a folder, after every stage anew. The exit status is 1 if a stage
fails, or with TF32 off a restoration differs by more than 1e-3 dB from the CPU's.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from alps_exp import load_energy, load_teacher
from alps_exp.config.folder import config_folder
from alps_exp.config.on_gpu import register_device_resolver
from alps_exp.datasets import ImageFolder
from alps_exp.evaluation import image_metrics
from alps_exp.operators import Inpainting
from alps_exp.priors import Denoiser, set_execution
from alps_exp.randomness import KeyedNoise, measurement_noise
from alps_exp.restoration import operator_of
from alps_exp.runs import register_resolvers
from alps_exp.runs.provenance import code_version
from alps_exp.training import CosineAdam, EnergyDistillation, LogNormalSigma
from alps_exp.training.base import DenoisingTraining

ROOT = Path(__file__).parents[2]
LARGEST_DIFFERENCE = 1e-3  # dB
RECIPES = ("faces64", "faces64_full")
PRECISIONS = {"float32": (False, None), "TF32": (True, None), "bfloat16": (True, torch.bfloat16)}
Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is done: images, samples and scales of a restoration; how what is timed is varied and repeated."""

    images: int
    samples: int
    scales: int
    chains: tuple[int, ...]
    batches: tuple[int, ...]
    warmups: int
    repeats: int
    precisions: tuple[str, ...]


SIZES = {
    "cuda": Size(4, 4, 50, (16, 64, 256, 1024), (64, 256), 2, 10, tuple(PRECISIONS)),
    "cpu": Size(1, 2, 4, (2,), (2,), 0, 1, ("float32",)),
}


@dataclass
class Report:
    """The rows of each stage, kept in a folder as they come; no stage goes on after so many seconds."""

    folder: Path
    about: Row
    limit: float
    seconds: dict[str, float] = field(default_factory=dict)
    stages: dict[str, list[Row]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def run(self, name: str, stage: Iterator[Row]) -> None:
        """Run a stage, print its rows and keep them; a fault in it leaves the next stage its chance."""
        start, rows = time.perf_counter(), self.stages.setdefault(name, [])
        try:
            while not (late := self.is_late()) and (row := next(stage, None)) is not None:
                rows.append(row)
                print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
            if late:
                self.faults.append(f"{name}: stopped, since {self.limit:.0f} s are over for all stages")
        except Exception as error:
            traceback.print_exc()
            self.faults.append(f"{name}: {type(error).__name__}: {error}")
        self.seconds[name] = round(time.perf_counter() - start, 1)
        print(f"stage {name}: {self.seconds[name]} s", flush=True)
        self.write()

    def is_late(self) -> bool:
        """Tell whether the time is over."""
        return time.perf_counter() - STARTED > self.limit

    def write(self) -> None:
        """Write the numbers as JSON and as a page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = {key: value for key, value in vars(self).items() if key != "folder"}
        (self.folder / "check.json").write_text(json.dumps(numbers, indent=1) + "\n")
        lines = ["# Measured by `experiments/gpu/run.sh check`", "", *table([self.about])]
        for name, rows in self.stages.items():
            lines += ["", f"## {name} ({self.seconds[name]} s)", "", *(table(rows) if rows else [])]
        lines += ["", *(f"- failed: {fault}" for fault in self.faults)]
        (self.folder / "RESULTS.md").write_text("\n".join(lines).rstrip() + "\n")


def table(rows: list[Row]) -> list[str]:
    """Return rows as the lines of a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[str(row.get(column, "")).replace("|", "\\|") for column in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *cells)]


def environment(device: torch.device, pack: Path) -> Row:
    """Return what the numbers are made with."""
    card = {"device": f"CPU, {torch.get_num_threads()} threads"}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True).stdout.strip()
        card = {"device": properties.name, "memory": f"{properties.total_memory / 2**30:.0f} GiB", "driver": driver}
    packed = json.loads((pack / "about.json").read_text())["commit"]
    return card | {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "commit": code_version(ROOT / "src/alps_exp").get("commit", f"{packed} (as packed)"),
    }


def request(verb: str, *overrides: str) -> DictConfig:
    """Return the config of a request."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose(verb, list(overrides))


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let convolutions and matrix products round their factors to TF32, or not."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def restorations(device: torch.device, size: Size, pack: Path) -> Iterator[Row]:
    """Restore faces on the CPU, and on the device with TF32 off and on: the PSNR, and how far it is from the CPU's."""
    faces = ImageFolder(str(pack / "data/faces/celeba_64.zip"), 64, indices=[8500, 8500 + size.images])
    items = [faces[i] for i in range(size.images)]
    truth, ids = torch.stack([item["image"] for item in items]), [item["image_id"] for item in items]
    energy = load_energy("faces64")

    def psnr(where: torch.device, config: DictConfig) -> Tensor:
        x = truth.to(where)
        operator = operator_of(instantiate(config.operator), {"image": x, "image_id": ids})
        y = operator.measure(x, measurement_noise(0, ids, x))
        estimates = instantiate(config.sampler)(energy.to(where), operator, y, size.samples, 0, ids)
        return image_metrics(estimates.mean, x)["psnr"].cpu()

    for name in ("inpaint_random", "gaussian_blur"):
        config = request("restore", f"operator={name}", "sampler=alps", f"sampler.schedule.steps={size.scales}")
        expected = psnr(torch.device("cpu"), config)
        for allowed in (False, True):
            with tf32(allowed):
                found = psnr(device, config)
            difference = float((found - expected).abs().max())
            yield {
                "operator": name,
                "TF32": allowed,
                "PSNR of the CPU": round(float(expected.mean()), 4),
                "PSNR": round(float(found.mean()), 4),
                "largest difference (dB)": f"{difference:.1e}",
            }
            if not allowed and not difference <= LARGEST_DIFFERENCE:
                raise ArithmeticError(f"{name} differs by {difference:.1e} dB from the CPU, expected at most 1e-3")


def milliseconds(work: Callable[[], Any], device: torch.device, size: Size) -> float:
    """Return the time of one call, after the first ones, which are not counted."""
    for _ in range(size.warmups):
        work()
    if device.type == "cpu":
        start = time.perf_counter()
        for _ in range(size.repeats):
            work()
        return 1000 * (time.perf_counter() - start) / size.repeats
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(size.repeats):
        work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / size.repeats


def timed(work: Callable[[], Any], device: torch.device, size: Size) -> Row:
    """Return time and peak memory of one call; on a CPU, the memory of the process so far."""
    if device.type == "cpu":
        taken = milliseconds(work, device, size)
        return {"ms": round(taken, 2), "peak GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        taken = round(milliseconds(work, device, size), 2)
    except torch.OutOfMemoryError:
        taken = "out of memory"
    return {"ms": taken, "peak GiB": round(torch.cuda.max_memory_allocated() / 2**30, 2)}


def sampler_steps(device: torch.device, size: Size) -> Iterator[Row]:
    """Time the parts of a step of ALPS: the prior with TF32 off and on, the solve, and the noise that the CPU draws."""
    for chains in size.chains:
        x = torch.randn(chains, 3, 64, 64, device=device)
        operator = Inpainting((torch.rand(chains, 1, 64, 64, device=device) < 0.2).float(), 0.05)
        y, noise = operator.forward(x), KeyedNoise(0, [str(i) for i in range(chains)], 1)
        for kind, load in (("teacher", load_teacher), ("energy", load_energy)):
            prior = load("faces64").to(device)
            for allowed in (False, True):
                with tf32(allowed):
                    yield {"part": f"{kind}, TF32 {'on' if allowed else 'off'}", "chains": chains} | timed(
                        partial(prior.denoise, x, 0.5), device, size
                    )
        yield {"part": "solve", "chains": chains} | timed(partial(operator.posterior_mean, x, y, 0.5), device, size)
        yield {"part": "noise", "chains": chains} | timed(partial(noise.draw, x), device, size)


def executions(device: torch.device, size: Size) -> Iterator[Row]:
    """Time an evaluation in float32 and bf16, on a GPU also compiled, and tell how far it is off."""
    chains = size.chains[0]
    x = torch.randn(chains, 3, 64, 64, device=device)
    for kind, load in (("teacher", load_teacher), ("energy", load_energy)):
        exact = load("faces64").to(device).denoise(x, 0.5)
        for compile in (False, True) if device.type == "cuda" else (False,):
            for precision in ("float32", "bf16"):
                prior = load("faces64").to(device)
                set_execution(prior, precision, compile)
                off = float((prior.denoise(x, 0.5) - exact).norm() / exact.norm())
                way = {"evaluated": kind, "precision": precision, "compiled": compile, "chains": chains}
                yield way | {"relative difference": f"{off:.1e}"} | timed(partial(prior.denoise, x, 0.5), device, size)


def training_steps(device: torch.device, size: Size) -> Iterator[Row]:
    """Time a step of both trainings of each recipe, loss, gradient and Adam, by batch and precision."""
    for recipe in RECIPES:
        for kind in ("teacher", "energy"):
            module = training(recipe, kind, device)
            for precision in size.precisions:
                for batch in size.batches:
                    yield timed_training(module, recipe, precision, batch, device, size)


def compiled_steps(device: torch.device, size: Size) -> Iterator[Row]:
    """Time the same with the network compiled that `compile=true` compiles: a teacher that is trained, or distilled."""
    for kind in ("teacher", "energy"):
        module = training(RECIPES[-1], kind, device)
        (module.network if kind == "teacher" else module.teacher).compile()
        yield timed_training(module, RECIPES[-1], size.precisions[-1], size.batches[-1], device, size)


def training(recipe: str, kind: str, device: torch.device) -> Any:
    """Return the training of a recipe's teacher, or of an energy of such a teacher, with its first weights."""
    module = instantiate(request("train", f"experiment={recipe}_teacher").training)
    if kind == "energy":
        module = EnergyDistillation(Denoiser(module.network), CosineAdam(), LogNormalSigma())
    module.to(device).on_fit_start()
    return module


def timed_training(
    module: DenoisingTraining, recipe: str, precision: str, batch: int, device: torch.device, size: Size
) -> Row:
    """Return the time and memory of a step of a training."""
    allowed, dtype = PRECISIONS[precision]
    optimizer = torch.optim.Adam(module.network.parameters(), lr=1e-6)
    x = torch.randn(batch, 3, 64, 64, device=device)
    sigma = torch.linspace(0.02, 5, batch, device=device)
    noisy = x + sigma[:, None, None, None] * torch.randn_like(x)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype) if dtype else nullcontext():
            loss = module.loss(x, noisy, sigma).mean()
        loss.backward()
        optimizer.step()

    with tf32(allowed):
        numbers = timed(step, device, size)
    return {"recipe": recipe, "training": module.kind, "precision": precision, "batch": batch} | numbers


def main() -> None:
    """Run all stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=SIZES, default="cuda")
    parser.add_argument("--pack", type=Path, required=True, help="folder that pack.py made")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=240.0, help="limit of all stages together")
    options = parser.parse_args()
    device, size = torch.device(options.device), SIZES[options.device]
    report = Report(options.output, environment(device, options.pack), options.seconds)
    report.run("restoration", restorations(device, size, options.pack))
    report.run("sampler steps", sampler_steps(device, size))
    report.run("precision and compilation", executions(device, size))
    report.run("training steps", training_steps(device, size))
    if device.type == "cuda":  # a CPU compiles this network for half an hour
        report.run("compiled training steps", compiled_steps(device, size))
    for fault in report.faults:
        print(f"check: {fault}", file=sys.stderr)
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    STARTED = time.perf_counter()
    register_resolvers()
    register_device_resolver()
    main()
