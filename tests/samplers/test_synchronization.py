"""A step never waits for a number from the device, but for the checks of conjugate gradients."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from alps_exp.masks import BirdcageMaps, CartesianMask1D
from alps_exp.operators import GaussianBlur, Inpainting, MultiCoilMRI, SuperResolution
from alps_exp.priors import smooth_gaussian
from alps_exp.samplers import ALPS, DAPS, DPS, DiffPIR, GeometricSchedule, PiGDM

SIDE = 12
SCALES = GeometricSchedule(2.0, 0.05, 6)
SAMPLERS = {
    "alps": ALPS(SCALES),
    "alps-static": ALPS(SCALES, annealing="static"),
    "alps-matched": ALPS(SCALES, moment_matching=2),
    "daps": DAPS(SCALES, ode_steps=2, langevin_steps=0),
    "daps-langevin": DAPS(SCALES, ode_steps=1, langevin_steps=20),
    "dps": DPS(SCALES),
    "diffpir": DiffPIR(SCALES),
    "pigdm": PiGDM(SCALES),
}
OPERATORS = {
    "inpainting": lambda: Inpainting((torch.rand(1, 1, SIDE, SIDE) < 0.5).float(), 0.05),
    "blur": lambda: GaussianBlur(1.0, 0.05),
    "super-resolution": lambda: SuperResolution(2, 0.05),
    "lines": lambda: MultiCoilMRI(*line_masks(), 0.02),
}
READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "unique")
"""Operations that give the host a number, or a shape that depends on numbers."""


class CountsReads(TorchDispatchMode):
    """Counts the operations for which the host has to wait."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in READS:
            self.found.append(function)
        return function(*args, **(kwargs or {}))


def line_masks():
    blank = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.complex64)
    batch = {"image": blank, "image_id": ["a"]}
    return CartesianMask1D(3)(batch), BirdcageMaps(3)(batch)


@pytest.mark.parametrize("operator_name", OPERATORS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_no_step_waits_for_the_device(name, operator_name):
    operator = OPERATORS[operator_name]()
    prior = smooth_gaussian(size=SIDE, complex_valued=operator_name == "lines")
    dtype = torch.complex64 if operator_name == "lines" else torch.float32
    y = operator.forward(torch.randn(1, 1, SIDE, SIDE, dtype=dtype))
    with CountsReads() as reads:
        SAMPLERS[name](prior, operator, y, num_samples=2)
    assert reads.found == []


def test_a_read_is_noticed():
    with CountsReads() as reads:
        bool(torch.ones(1).sum() > 0)
    assert len(reads.found) == 1
