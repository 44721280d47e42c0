"""Where SMC stops working with a trained denoiser: small images that it draws itself, half of them measured.

The weights of a run tell by themselves: ancestors that survive, the stated error of log Z, and its scatter over seeds.
"""

from __future__ import annotations

import argparse
import time

import torch

from alps_exp import load_teacher
from alps_exp.operators import Inpainting
from alps_exp.randomness import measurement_noise
from alps_exp.restoration.calibration import draw_images
from alps_exp.samplers import ALPS, SMC, GeometricSchedule


def main() -> None:
    """Print a table with a row for each error of the denoiser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="brain64")
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--errors", type=float, nargs="*", default=[0.3, 0.0])
    parser.add_argument("--chains", type=int, default=12)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    settings = parser.parse_args()
    teacher = load_teacher(settings.model)
    like = torch.zeros(1, 3, settings.size, settings.size)
    if teacher.channels == 2:
        like = like[:, :1].to(torch.complex64)
    truth = draw_images(teacher, ALPS(prior_kind="teacher"), like, 0, ["truth"])
    mask = (torch.rand(like[:, :1].shape, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    operator = Inpainting(mask, noise_std=0.1)
    y = operator.measure(truth, measurement_noise(0, ["truth"], truth))
    ids = [f"seed {seed}" for seed in range(settings.seeds)]
    numbers = truth.numel() * (2 if truth.is_complex() else 1)
    print("| Model | Size | Numbers | eps | Ancestors | Effective | log Z, by seed | stated error | CPU s |")
    print("|---" * 9 + "|")
    for error in settings.errors:
        sampler = SMC(GeometricSchedule(5.0, 0.05, settings.steps), denoiser_error=error, micro_batch=50)
        start = time.process_time()
        estimates = sampler(teacher, operator, y.expand(len(ids), -1, -1, -1), settings.chains, image_ids=ids)
        names = ("ancestors", "effective_sample_size", "log_evidence", "log_evidence_std")
        of_seeds = [", ".join(f"{value:.3g}" for value in estimates.diagnostics[name][0].tolist()) for name in names]
        cells = [settings.model, f"{settings.size} x {settings.size}", f"{numbers}", f"{error:g}", *of_seeds]
        print("|", " | ".join([*cells, f"{time.process_time() - start:.0f}"]), "|", flush=True)


if __name__ == "__main__":
    main()
