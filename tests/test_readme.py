"""The examples of the README and of the first pages run as they stand there."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml
from hydra.utils import instantiate

from alps_exp.operators import Inpainting
from alps_exp.priors import smooth_gaussian

ROOT = Path(__file__).parents[1]
OWN_PACKAGE = "docs/how-to/own-package.md"


def block(page, language, containing):
    """Return the code block of a page in a language that contains a text."""
    blocks = re.findall(rf"^```{language}(?: title=.*?)?\n(.*?)^```$", (ROOT / page).read_text(), re.S | re.M)
    (found,) = [code for code in blocks if containing in code]
    return found


def test_the_readme_is_read_at_a_glance():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.slow
def test_the_first_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("README.md", "python", "load_teacher"), names)
    result, records = names["result"], names["run"].records
    assert (tmp_path / "outputs" / "face" / "figure.png").exists()
    # The posterior mean is nearer to the truth than the blurred measurement, by far more than samples vary.
    error, blurred = (abs(x - result.truth).mean() for x in (result.estimates["mmse"], result.measurement))
    assert error < 0.7 * blurred and records.psnr[records.estimate == "mmse"].item() > 24


def test_the_example_from_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("docs/how-to/python.md", "python", "load_energy"), names)
    assert names["estimates"].samples.shape == (2, 2, 3, 64, 64)
    assert names["estimates"].std.shape == (2, 3, 64, 64)
    assert len(names["trajectory"].scales) == 4
    assert len(names["run"].records) == 6 and (tmp_path / "outputs" / "mine" / "DONE").exists()


def test_the_new_operator_is_whole(monkeypatch):
    module = types.ModuleType("mylab.grayscale")
    exec(block(OWN_PACKAGE, "python", "class Grayscale"), module.__dict__)
    monkeypatch.setitem(sys.modules, "mylab", types.ModuleType("mylab"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    operator = instantiate(yaml.safe_load(block(OWN_PACKAGE, "yaml", "grayscale.Grayscale")))()
    torch.manual_seed(0)
    x, y = torch.randn(2, 2, 3, 8, 8).double(), torch.randn(2, 2, 1, 8, 8).double()
    assert torch.allclose((operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum())
    d, t = torch.randn(2, 3, 8, 8).double(), 0.7
    mean = operator.posterior_mean(d, operator.forward(x[0]), t)
    # A A^T = 1/3: the mean moves along A^T by the gain of a scalar measurement.
    gain = t**2 / (t**2 / 3 + operator.noise_std**2)
    expected = d + gain * operator.adjoint(operator.forward(x[0]) - operator.forward(d))
    assert (mean - expected).norm() < 3e-3 * expected.norm()


def test_the_new_sampler_is_whole():
    names = {}
    exec(block(OWN_PACKAGE, "python", "class PlugAndPlay"), names)
    operator = Inpainting(torch.ones(1, 1, 8, 8), noise_std=0.05)
    y = torch.full((1, 1, 8, 8), 0.2)
    estimates = names["PlugAndPlay"](steps=20)(smooth_gaussian(size=8), operator, y, num_samples=8)
    assert (estimates.mean - 0.2).abs().mean() < 0.05 and estimates.nfe_forward.tolist() == [20]
