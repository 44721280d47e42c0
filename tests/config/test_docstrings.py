"""What docstrings say is read from the source: both styles, inherited, referred to, and nothing is imported."""

import subprocess
import sys
import textwrap

import pytest
from omegaconf import OmegaConf

from alps_exp.cli.help import UNSAID
from alps_exp.config.arguments import HYDRA_KEYS
from alps_exp.config.docstrings import examples, find, parameters, summary
from alps_exp.config.folder import config_folder

SOURCE = {
    "lab/__init__.py": "raise RuntimeError('imported')",
    "lab/base.py": '''
        class Base:
            """The base.

            Parameters
            ----------
            size, depth : int
                In pixels, e.g. 64. More is not said.
            """
    ''',
    "lab/inner/__init__.py": "from .thing import Thing as Renamed\nfrom ..base import Base",
    "lab/inner/thing.py": '''
        from lab.base import Base
        from lab.other import function


        class Thing(Base):
            """A thing of two lines, which
            is the :class:`~lab.base.Base` of ``nothing``.

            Parameters
            ----------
            depth
                Of its own; with a clause.
            width
                As in `function`.
            size
                As in `Unknown`.

            Examples
            --------
            first
            second
            """

            def __init__(self, color):
                """Make it.

                Args:
                    color: What it looks
                        like. And more.

                        A list

                    shade (int): The other

                Returns:
                    nothing
                """
    ''',
    "lab/other.py": '''
        def function(width):
            """Return it.

            Parameters
            ----------
            width : float
                Above 0
            """
    ''',
}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    for name, text in SOURCE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("alps_exp.config.docstrings._tree", find.__globals__["_tree"].__wrapped__)


def test_parameters_are_found_through_imports_bases_and_references(lab):
    assert parameters("lab.inner.Renamed") == {
        "size": "In pixels, e.g. 64",
        "depth": "Of its own; with a clause",
        "width": "Above 0",
        "color": "What it looks like",
        "shade": "The other",
    }
    assert summary("lab.inner.Renamed") == "A thing of two lines, which is the Base of nothing"
    assert examples("lab.inner.Renamed") == ["first", "second"]
    assert parameters("lab.inner.Base") == {"size": "In pixels, e.g. 64", "depth": "In pixels, e.g. 64"}


@pytest.mark.parametrize("name", ["lab.Nothing", "lab.nowhere.Thing", "not_there.Thing", "Thing", "", "math.sqrt"])
def test_what_has_no_source_says_nothing(lab, name):
    assert (parameters(name), summary(name), examples(name)) == ({}, "", [])


def test_source_that_cannot_be_read_is_named(lab, tmp_path):
    (tmp_path / "lab" / "broken.py").write_text("def (")
    with pytest.raises(ValueError, match="broken.py cannot be read"):
        parameters("lab.broken.Thing")


def targets_in(node):
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"], [key for key in node if key not in HYDRA_KEYS]
        for value in node.values():
            yield from targets_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets_in(value)


def test_every_key_of_every_config_is_described():
    unsaid = []
    for path in sorted(config_folder().rglob("*.yaml")):
        config = OmegaConf.to_container(OmegaConf.load(path))
        config.pop("defaults", None)  # Hydra's own
        for target, keys in targets_in(config):
            described = UNSAID.get(target, {}) | parameters(target)
            unsaid += [(path.name, target, key) for key in keys if not described.get(key)]
    assert [one for one in unsaid if "hydra_plugins" not in one[1]] == []


def test_it_takes_no_torch():
    code = "import sys; from alps_exp.config.docstrings import parameters; parameters('pytorch_lightning.Trainer')"
    code += "['precision']; parameters('alps_exp.samplers.DPS')['micro_batch']; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
