"""The examples in docstrings run, and what users call first has one."""

import doctest
import importlib
import pkgutil

import pytest

import alps_exp

MODULES = [m.name for m in pkgutil.walk_packages(alps_exp.__path__, "alps_exp.") if "__main__" not in m.name]
CALLED_FIRST = {
    "operators": ["GaussianBlur", "Inpainting", "JointOperator", "MotionBlur", "MultiCoilMRI", "SuperResolution"],
    "priors": ["ComposedEnergy", "load_energy", "load_teacher", "smooth_gaussian"],
    "reconstruction": ["SENSE"],
    "restoration": ["restore"],
    "samplers": ["ALPS", "AnnealedSampler", "ExplicitSchedule", "GeometricSchedule", "KarrasSchedule", "MAP", "SMC"],
    "estimates": ["Estimates"],
    "crops": ["center_crop"],
}


def examples(module):
    return [test for test in doctest.DocTestFinder().find(importlib.import_module(module)) if test.examples]


@pytest.mark.parametrize("module", [name for name in MODULES if examples(name)])
def test_examples_give_what_they_say(module):
    for test in examples(module):
        result = doctest.DocTestRunner().run(test)
        assert result.failed == 0 and result.attempted > 0, test.name


def test_what_users_call_first_has_an_example():
    for room, names in CALLED_FIRST.items():
        found = importlib.import_module(f"alps_exp.{room}")
        assert [name for name in names if ">>>" not in getattr(found, name).__doc__] == []
