"""`alps VERB --help`: its examples are right, its groups and experiments are those of the verb, each key has a line."""

import functools
import inspect
import re
import shlex
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from alps_exp.cli.dry_run import KEYS
from alps_exp.cli.help import _clauses, groups_of, keys_of
from alps_exp.cli.verbs import VERBS, verb_function
from alps_exp.config.folder import config_folder

TYPED = re.compile(r"^  ([^\s=]+)=(.*?)  +(\S.*)$", re.MULTILINE)


def composed(verb, *words):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose(verb, [*words], return_hydra_config=True)


def examples_in(help_text):
    return [line.strip() for line in help_text.partition("Examples\n")[2].partition("\n\n")[0].splitlines()]


def leaves(node, path=""):
    """Yield the keys of a config down to what is no object."""
    for key, value in node.items():
        objects = isinstance(value, dict) and ("_target_" in value or any("_target_" in str(v) for v in value.values()))
        if objects:
            yield from leaves(value, f"{path}{key}.")
        elif not key.startswith("_"):
            yield f"{path}{key}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_key_has_a_line_that_says_what_it_is(alps, verb):
    config = composed(verb)
    keys = keys_of(config)
    values = OmegaConf.to_container(config)
    del values["hydra"]
    assert [key.name for key in keys] == [*leaves(values)]
    assert [key.name for key in keys if not key.description] == []
    status, out, _ = alps(verb, "--help")
    assert status == 0 and out.startswith(f"alps {verb} ") and VERBS[verb] in out.splitlines()[0]
    assert max(map(len, out.splitlines())) <= 100
    shown = {name: (default, text) for name, default, text in TYPED.findall(out.partition("\nKeys")[2])}
    assert shown.keys() == {key.name for key in keys}
    for name, (default, text) in shown.items():
        value = functools.reduce(dict.__getitem__, name.split("."), values)
        if not isinstance(value, str | list | dict | None):
            assert default == str(value).lower(), name
        assert len(text) > 10 and not re.search(r"[(\[]$|``|:\w+:", text), name


@pytest.mark.parametrize("verb", VERBS)
def test_examples_are_right_as_they_are_typed(alps, tmp_path, monkeypatch, verb):
    monkeypatch.chdir(tmp_path)
    found = examples_in(alps(verb, "--help")[1])
    assert len(found) == 3
    for line in found:
        program, *words = shlex.split(line)
        status, out, err = alps(*words, "dry_run=true")
        assert (program, words[0], status) == ("alps", verb, 0), line + err
        assert out.startswith("[1/")


@pytest.mark.parametrize("verb", VERBS)
def test_the_groups_are_those_of_the_defaults_list(verb):
    defaults = OmegaConf.load(config_folder() / f"{verb}.yaml").defaults
    names = [str(name) for entry in defaults if OmegaConf.is_dict(entry) for name in entry]
    expected = {name for name in names if "hydra/" not in name}
    groups = groups_of(composed(verb))
    assert groups.keys() == expected
    for name, choices in groups.items():
        folder = config_folder() / name.partition("@")[0]
        if name != "experiment":
            assert choices == sorted(path.stem for path in folder.glob("*.yaml"))


def can_run(verb, experiment):
    """Return whether an experiment can be composed for a verb, and sets no keys that the verb does not take."""
    try:
        config = composed(verb, f"experiment={experiment}")
    except ConfigCompositionException:
        return False
    return {*config} - {"hydra"} <= {*inspect.signature(verb_function(verb)).parameters, *KEYS}


def test_experiments_are_those_that_the_verb_can_run():
    all_of_them = {path.stem for path in (config_folder() / "experiment").glob("*.yaml")}
    of = {verb: groups_of(composed(verb))["experiment"] for verb in ("restore", "train", "distill")}
    assert {name for names in of.values() for name in names} == all_of_them
    assert [(verb, name) for verb, names in of.items() for name in names if not can_run(verb, name)] == []
    for verb, other in [("restore", "train"), ("train", "distill"), ("distill", "train"), ("train", "restore")]:
        assert not {*of[verb]} & {*of[other]} and not can_run(verb, of[other][0])


def test_a_choice_brings_its_keys_and_groups(alps):
    _, out, _ = alps("restore", "data=kspace_example", "sampler=smc", "--help")
    assert "sampler.denoiser_error=0.0" in out and "sampler.annealing" not in out
    assert re.search(r"^  maps@data.test.maps=espirit +espirit, low_resolution$", out, re.MULTILINE)
    _, out, _ = alps("train", "callbacks=early_stopping", "--help")
    assert "callbacks.early_stopping.patience=10" in out and "callbacks.ema.decay" in out


def test_the_users_own_configs_show_too(alps, tmp_path):
    for name, text in {
        "data/ramps": "_target_: not_there.Ramps\ncount: 2\n",
        "experiment/hers": "# @package _global_\ndefaults:\n  - override /data: ramps\nnum_samples: 3\nuser:\n  x: 1\n",
        "experiment/trains": "# @package _global_\ndefaults:\n  - hers\ntraining:\n  seed: 1\n",
        "tricks/one": "seed: 5\n",
    }.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for where in (
        ["--config-dir", str(tmp_path)],
        [f"--config-dir={tmp_path}"],
        [f"hydra.searchpath=[file://{tmp_path}]"],
    ):
        status, out, err = alps("restore", "data=ramps", *where, "seed=1", "--help")
        assert status == 0, err
        groups = out.partition("\nKeys")[0]
        assert "ramps" in groups and "hers" in groups and "trains" not in groups
        assert re.search(r"^  \+tricks=\.\.\. +one$", groups, re.MULTILINE) and "  data.count=2" in out
    assert "tricks" not in alps("restore", "--help")[1]


def test_a_wrong_choice_is_wrong_in_help_too_and_hydras_help_remains(alps):
    status, _, err = alps("restore", "sampler=dsp", "--help")
    assert status == 2 and "did you mean dps?" in err
    status, out, _ = alps("--hydra-help")
    assert status in (0, None) and "--multirun" in out


def test_a_sentence_is_cut_where_a_clause_ends():
    assert _clauses("One thing; another thing that is long", 40) == "One thing; another thing that is long"
    assert _clauses("What the one thing is (as here; or there) and so on", 35) == "What the one thing is"
    assert _clauses("What it is that we do here: red, green, blue", 36) == "What it is that we do here"
    assert _clauses("Short: but then it goes on for long", 24) == "Short: but then it ..."


def test_it_takes_no_torch(tmp_path):
    code = "import sys; from alps_exp.cli.main import main; sys.argv = ['alps', 'train', '--help']\ntry:\n    main()\n"
    code += "except SystemExit:\n    sys.exit('torch' in sys.modules or 'pytorch_lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "training.network.model.dropout" in done.stdout, done.stderr


def test_who_reads_only_the_first_lines_gets_no_error(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m alps_exp restore --help | head -1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.startswith("alps restore")
