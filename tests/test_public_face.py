"""`import alps_exp`: what it exports, and what it costs."""

import subprocess
import sys

import pytest

import alps_exp


def test_importing_it_costs_no_library():
    loaded = "import sys, alps_exp; print([name for name in ('torch', 'numpy', 'hydra') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("words", [["--help"], ["--version"], []])
def test_help_and_version_import_no_torch(words):
    run = "import sys, runpy\nsys.argv = ['alps', *sys.argv[1:]]\n"
    run += "try:\n    runpy.run_module('alps_exp', run_name='__main__')\n"
    run += "except SystemExit as end:\n    print(end.code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", run, *words], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False"


def test_every_exported_name_is_there_and_is_what_its_room_has():
    exported = {name: getattr(alps_exp, name) for name in alps_exp.__all__}
    assert exported["ALPS"] is alps_exp.samplers.ALPS and exported["MultiCoilMRI"] is alps_exp.operators.MultiCoilMRI
    assert exported["load_energy"] is alps_exp.priors.load_energy
    assert set(alps_exp.__all__) <= set(dir(alps_exp))
    with pytest.raises(AttributeError, match="ALPSS"):
        alps_exp.ALPSS  # noqa: B018
