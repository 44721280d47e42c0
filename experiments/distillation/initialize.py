"""Writes random weights for a network of the shape of a shipped teacher: python initialize.py faces64 FILE."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from alps_exp.checkpoints import save_model
from alps_exp.networks.preconditioning import architecture_of, build
from alps_exp.priors import load_teacher

if __name__ == "__main__":
    name, path = sys.argv[1:]
    torch.manual_seed(0)
    save_model(Path(path), build(architecture_of(load_teacher(name).network)), "energy")
