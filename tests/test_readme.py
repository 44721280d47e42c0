"""The README's examples run as they stand there."""

import re
import sys
import types
from pathlib import Path

import torch
import yaml
from hydra.utils import instantiate

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language, containing):
    """Return the code block of a language that contains a text."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", README, re.S) if containing in code]
    return found


def test_the_example_from_python():
    names = {}
    exec(block("python", "load_energy"), names)
    assert names["estimates"].samples.shape == (2, 2, 3, 64, 64)
    assert names["estimates"].std.shape == (2, 3, 64, 64)


def test_the_new_operator_is_whole(monkeypatch):
    module = types.ModuleType("alps_exp.operators.grayscale")
    exec(block("python", "Grayscale"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    operator = instantiate(yaml.safe_load(block("yaml", "grayscale")))()
    torch.manual_seed(0)
    x, y = torch.randn(2, 2, 3, 8, 8).double(), torch.randn(2, 2, 1, 8, 8).double()
    assert torch.allclose((operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum())
    d, t = torch.randn(2, 3, 8, 8).double(), 0.7
    mean = operator.posterior_mean(d, operator.forward(x[0]), t)
    # A A^T = 1/3: the mean moves along A^T by the gain of a scalar measurement.
    gain = t**2 / (t**2 / 3 + operator.noise_std**2)
    expected = d + gain * operator.adjoint(operator.forward(x[0]) - operator.forward(d))
    assert (mean - expected).norm() < 3e-3 * expected.norm()
