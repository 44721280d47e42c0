"""`alps train training=energy`: an energy from scratch, and what is refused of it."""

import json

import torch

from alps_exp.priors import load_energy
from alps_exp.training.base import VALIDATION_SIGMAS

STEPS = ["training=energy", "trainer.max_steps=2", "training.optimizer.warmup_steps=1"]


def test_an_energy_from_scratch_is_trained_validated_and_gone_on_from(teach, tmp_path):
    assert teach(*STEPS)[0] == 0
    (first,) = (tmp_path / "out").rglob("energy.safetensors")
    assert "| validation | energy_sigma_0.05" in first.with_suffix(".md").read_text()
    numbers = json.loads((first.parent / "validation.json").read_text())
    assert set(numbers) == {f"validation/energy_sigma_{sigma:g}" for sigma in VALIDATION_SIGMAS}

    start = f"training.start={{_target_:alps_exp.priors.load_energy,name:{first}}}"
    assert teach(*STEPS, start, root="more")[0] == 0
    (second,) = (tmp_path / "more").rglob("energy.safetensors")
    energies = [load_energy(str(path)).network for path in (first, second)]
    moved = [not torch.equal(*pair) for pair in zip(*[energy.parameters() for energy in energies], strict=True)]
    assert any(moved)
    assert "steps in all | 4" in second.with_suffix(".md").read_text()


def test_what_only_a_teacher_can_is_refused_of_an_energy(teach):
    status, _, errors = teach(*STEPS, "compile=true")
    assert status == 2 and "compile=false" in errors
    status, _, errors = teach(*STEPS, "training.energy_weight=3")
    assert status == 2 and "energy_weight" in errors
