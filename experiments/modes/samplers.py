"""The probability of the first mode by every sampler, on the six problems."""

from __future__ import annotations

import argparse
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from problems import PROBLEMS, SIGMA_MIN, problem

from alps_exp.samplers import Sampler

CONF = Path(__file__).parents[2] / "conf"
NAMES = {
    "SMC": "smc",
    "ALPS, moment matching": "alps_teacher",
    "ALPS": "alps",
    "ALPS, static": "alps sampler.annealing=static",
    "ALPS, independent noise": "alps sampler.noise=independent",
    "DAPS, exact draws": "daps sampler.langevin_steps=0",
    "DPS": "dps sampler.step_size=1",
    "DiffPIR": "diffpir",
    "PiGDM": "pigdm",
    "MMPS": "mmps",
    "CSGM": "csgm",
}


def sampler_of(name: str) -> Sampler:
    """Return a sampler by its config and settings, with 50 scales, ending at `SIGMA_MIN`."""
    choice, *settings = name.split()
    count = "scales" if choice in ("dps", "daps") else "steps"
    schedule = [f"sampler.schedule.sigma_min={SIGMA_MIN}", f"sampler.schedule.{count}=50", "sampler.micro_batch=null"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        sampler: Sampler = instantiate(compose(overrides=[f"+sampler={choice}", *schedule, *settings]).sampler)
    return sampler


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samplers", nargs="*", default=list(NAMES))
    settings = parser.parse_args()
    problems = [problem(name) for name in PROBLEMS]
    ids = [str(seed) for seed in range(settings.seeds)]
    print(f"| Sampler | {' | '.join(PROBLEMS)} |")
    print("|---" * (len(PROBLEMS) + 1) + "|")
    print(f"| exact | {' | '.join(f'{one.weight:.3f}' for one in problems)} |")
    for shown in settings.samplers:
        sampler, cells = sampler_of(NAMES[shown]), []
        for one in problems:
            y = one.y.expand(len(ids), *one.y.shape[1:])
            estimates = sampler(one.prior, one.operator, y, settings.chains, image_ids=ids)
            weight, _ = estimates.expectation(one.in_first(estimates.samples))
            cells.append(f"{weight.mean():.3f}")
        print(f"| {shown} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
