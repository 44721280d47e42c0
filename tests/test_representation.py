"""What `repr` tells of operators, samplers and estimates."""

import inspect
import re

import pytest
import torch

from alps_exp import operators, reconstruction, samplers
from alps_exp.estimates import Estimates
from alps_exp.reconstruction import SENSE, TotalVariation
from alps_exp.representation import ShowsItsArguments

NAMES = {**vars(samplers), "SENSE": SENSE, "TotalVariation": TotalVariation, "GaussianBlur": operators.GaussianBlur}


@pytest.mark.parametrize(
    "thing",
    [
        samplers.ALPS(moment_matching=2, final_noise=False, prior_kind="teacher"),
        samplers.DAPS(samplers.ExplicitSchedule((2.0, 1.0), (1, 2)), likelihood_std=None),
        samplers.DPS(step_size=3.0, micro_batch=4),
        samplers.MAP(starts=3, tolerance=0.5),
        samplers.SMC(),
        SENSE(0.5),
        TotalVariation(iterations=3),
        operators.GaussianBlur(1.5, noise_std=0.1),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_it_is_a_call_that_makes_the_same(thing):
    same = eval(repr(thing), dict(NAMES))
    assert type(same) is type(thing) and repr(same) == repr(thing)
    assert {k: v for k, v in vars(same).items() if isinstance(v, int | float | str)} == {
        k: v for k, v in vars(thing).items() if isinstance(v, int | float | str)
    }


CLASSES = [getattr(room, name) for room in (operators, samplers, reconstruction) for name in room.__all__]
SHOWN = [kind for kind in CLASSES if inspect.isclass(kind) and issubclass(kind, ShowsItsArguments)]


@pytest.mark.parametrize("kind", [kind for kind in SHOWN if "__init__" in vars(kind)], ids=lambda kind: kind.__name__)
def test_every_argument_is_kept_by_its_name(kind):
    source = "".join(inspect.getsource(base) for base in kind.__mro__ if base.__module__.startswith("alps_exp"))
    names = list(inspect.signature(kind.__init__).parameters)[1:]
    assert [name for name in names if not re.search(rf"self\.{name}\b", source)] == []


def test_tensors_are_told_by_shape_and_type():
    operator = operators.Inpainting(torch.ones(2, 1, 4, 4), noise_std=0.05)
    assert repr(operator) == "Inpainting(mask=<(2, 1, 4, 4) bool>, noise_std=0.05)"


def test_estimates_tell_their_numbers():
    estimates = Estimates(torch.zeros(4, 2, 3, 8, 8), torch.full((2,), 50.0), torch.full((2,), 25.0))
    assert repr(estimates) == "Estimates(4 samples of 2 images (3, 8, 8), 50 + 25 calls a sample)"
