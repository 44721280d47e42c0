import json
import subprocess
import sys
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from alps_exp.runs import config_hash, register_resolvers, request, run_hash
from alps_exp.runs.run_hash import folder_name

CONFIG = {
    "seed": 0,
    "save": "summary",
    "output_root": "outputs",
    "resume_anyway": False,
    "data": {"name": "ffhq", "root": "/data", "batch_size": 8, "num_workers": 2},
    "operator": {"noise_std": 0.05, "kernel": [1, 2, 3]},
    "sampler": {"num_scales": 50, "micro_batch": 16},
    "trainer": {
        "devices": 1,
        "num_nodes": 1,
        "accelerator": "cpu",
        "max_time": None,
        "precision": 32,
        "max_steps": 100,
    },
    "logger": {"name": "csv"},
    "hydra": {"launcher": {"name": "basic"}},
}
MACHINE_KEYS = set(  # written again, as one more of them gives runs with different results one name
    "checkpoint_minutes compile dry_run figures hydra logger objective output_root resume_anyway user verbose verify"
    " data.num_workers distillation.band_interval generator.micro_batch sampler.micro_batch trainer.accelerator"
    " trainer.default_root_dir trainer.devices trainer.enable_checkpointing trainer.enable_model_summary"
    " trainer.enable_progress_bar trainer.log_every_n_steps trainer.num_nodes trainer.num_sanity_val_steps"
    " trainer.profiler trainer.strategy training.band_interval".split()
)
RESTORE_KEYS = MACHINE_KEYS | {"data.batch_size", "trainer.max_time"}
TRAINING_KEYS = MACHINE_KEYS - {"trainer.devices", "trainer.num_nodes"}  # of which the effective batch is made
LEFT_OUT = {"restore": RESTORE_KEYS, "calibrate": RESTORE_KEYS, "train": TRAINING_KEYS, "distill": TRAINING_KEYS}


def test_no_other_key_is_left_out():
    for verb in LEFT_OUT:
        expected = RESTORE_KEYS if verb in ("restore", "calibrate") else MACHINE_KEYS
        assert expected == run_hash.MACHINE_KEYS | run_hash.MACHINE_KEYS_OF_VERB.get(verb, frozenset())


def batch_of(batch_size=4, devices=1, num_nodes=1, accumulate_grad_batches=1):
    trainer = {"devices": devices, "num_nodes": num_nodes, "accumulate_grad_batches": accumulate_grad_batches}
    return config_hash({"data": {"batch_size": batch_size}, "trainer": trainer}, "train")


def test_the_batch_of_a_training_is_that_of_all_devices_and_accumulated_batches():
    same = [
        batch_of(16),
        batch_of(4, 2, 2),
        batch_of(8, [0, 1]),
        batch_of(8, "0,1"),
        batch_of(4, "4"),
        batch_of(2, 2, 2, 2),
    ]
    others = [batch_of(8), batch_of(16, "auto"), batch_of(16, -1), batch_of(8, "auto"), batch_of("auto")]
    assert len(set(same)) == 1 and len({*same, *others}) == 1 + len(others)


def test_what_only_watches_a_training_does_not_count():
    def of(*targets):
        return config_hash(
            {"trainer": {"callbacks": [{"_target_": target, "decay": 0.9} for target in targets]}}, "train"
        )

    averaging, rate = (f"pytorch_lightning.callbacks.{name}" for name in ("EMAWeightAveraging", "LearningRateMonitor"))
    assert of(averaging) == of(rate, averaging) == of(averaging, rate, "lightning.pytorch.callbacks.RichProgressBar")
    assert len({of(averaging), of(), of(averaging, "mylab.LearningRateMonitor"), of(averaging, averaging)}) == 4


def leaves(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def changed(path):
    config = deepcopy(CONFIG)
    *parents, last = path.split(".")
    node: Any = config
    for parent in parents:
        node = node[parent]
    node[last] = "something else"
    return config


@pytest.mark.parametrize("path", list(leaves(CONFIG)))
@pytest.mark.parametrize(("verb", "left_out"), [("restore", RESTORE_KEYS), ("distill", TRAINING_KEYS)])
def test_the_hash_ignores_the_keys_of_the_machine_and_nothing_else(path, verb, left_out):
    machine = path in left_out or path.split(".")[0] in left_out
    assert (config_hash(changed(path), verb) == config_hash(CONFIG, verb)) == machine


def test_the_hash_is_stable_and_does_not_depend_on_the_order_of_keys():
    reordered = dict(reversed(list(CONFIG.items())))
    assert config_hash(CONFIG, "restore") == config_hash(reordered, "restore") == "3cbcc00c2fcf"
    assert config_hash(CONFIG | {"new": 1}) != config_hash(CONFIG)


PARTS = sorted({part for path in RESTORE_KEYS for part in path.split(".")} | {"seed", "operator", "max_steps"})
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("ab é脳", max_size=4),
    st.lists(st.integers(0, 2), max_size=2),
)
CONFIGS = st.dictionaries(
    st.sampled_from(PARTS), st.dictionaries(st.sampled_from(PARTS), VALUES, max_size=4), max_size=6
)
VERBS = st.sampled_from(sorted(LEFT_OUT))
several = settings(deadline=None, max_examples=50, derandomize=True)


def shuffled(node, random):
    """Return the same config with its keys in another order."""
    if not isinstance(node, dict):
        return node
    return {key: shuffled(node[key], random) for key in random.sample(sorted(node), len(node))}


def with_values(config, paths, value):
    config = deepcopy(config)
    for path in paths:
        *parents, last = path.split(".")
        node: Any = config
        for parent in parents:
            node[parent] = node = node[parent] if isinstance(node.get(parent), dict) else {}
        node[last] = value
    return config


@several
@given(CONFIGS, VERBS, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count_at_any_depth(config, verb, random):
    assert config_hash(shuffled(config, random), verb) == config_hash(config, verb)


@several
@given(CONFIGS, VERBS, VALUES, VALUES)
def test_no_key_of_the_machine_counts_whatever_its_value(config, verb, one, other):
    before, after = (with_values(config, LEFT_OUT[verb], value) for value in (one, other))
    assert config_hash(before, verb) == config_hash(after, verb)


@several
@given(CONFIGS, VERBS, st.lists(st.sampled_from(PARTS), min_size=2, max_size=3), VALUES, VALUES)
def test_every_other_key_counts(config, verb, parts, one, other):
    path = ".".join(parts)
    machine = any(path == key or path.startswith(f"{key}.") for key in {*MACHINE_KEYS, *LEFT_OUT[verb]})
    absent = path == "trainer.max_time" and None in (one, other)
    assume(not machine and not absent and json.dumps(one) != json.dumps(other))
    before, after = (with_values(config, [path], value) for value in (one, other))
    assert config_hash(before, verb) != config_hash(after, verb)


def test_only_at_a_constant_rate_is_a_longer_training_the_same_run():
    def digest(steps, fraction):
        optimizer = {"decay_fraction": fraction}
        return config_hash({"training": {"optimizer": optimizer}, "trainer": {"max_steps": steps}}, "teacher")

    assert digest(10, 0) == digest(20, 0) and digest(10, 0.2) != digest(20, 0.2)


def test_interpolations_are_resolved_and_left_out_keys_are_not_touched():
    trainer = {"devices": "${oc.env:NOT_THERE}", "max_steps": 3}
    config = OmegaConf.create({"a": [1, 2], "b": "${a.1}", "c": {"d": "${a}"}, "trainer": trainer})
    assert request(config) == {"a": [1, 2], "b": 2, "c": {"d": [1, 2]}, "trainer": {"max_steps": 3}}


def test_the_resolver_sees_the_whole_config_but_not_hydra():
    register_resolvers()
    root = OmegaConf.create(CONFIG | {"hydra": {"run": {"dir": "outputs/${config_hash:restore}"}}})
    assert root.hydra.run.dir == f"outputs/{config_hash(CONFIG, 'restore')}"
    assert OmegaConf.create({"a": 1, "logger": "${config_hash:}"}).logger == config_hash({"a": 1})


APP = """
import hydra
from alps_exp.runs import config_hash, register_resolvers
register_resolvers()

@hydra.main(version_base="1.3", config_path=".", config_name="app")
def main(config):
    hydra_config = hydra.core.hydra_config.HydraConfig.get()
    print("RUN", config.x, config_hash(config, "restore"), hydra_config.runtime.output_dir)

main()
"""
YAML = """
x: 1
choice: ${hydra:runtime.choices.hydra/launcher}
logger: ${hydra:runtime.output_dir}
data: {batch_size: 1}
hydra:
  run: {dir: "out/${config_hash:restore}"}
  sweep: {dir: out, subdir: "${config_hash:restore}"}
  output_subdir: null
  job_logging: {root: {handlers: []}}
"""


@pytest.mark.parametrize("overrides", [["x=2", "data.batch_size=4"], ["-m", "x=1,2"]])
def test_hydra_names_the_folders_of_jobs_and_sweeps_by_the_hash(tmp_path, overrides):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "app.yaml").write_text(YAML)
    done = subprocess.run(
        [sys.executable, "app.py", *overrides], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    runs = [line.split() for line in done.stdout.splitlines() if line.startswith("RUN")]
    assert len(runs) == (2 if "-m" in overrides else 1)
    for _, x, digest, folder in runs:
        expected = config_hash({"x": int(x), "choice": "basic", "data": {}})
        assert folder == str(tmp_path / "out" / digest)
        assert digest == expected, json.dumps(runs)


@pytest.mark.parametrize("name", ["a", "a/b", "ffhq_inpaint-alps", "two words", "a..b", "x" * 255, "脳"])
def test_the_name_of_a_folder_stays(name):
    assert folder_name(name) == name


LEADING_OUT = ["", ".", "..", "../x", "a/../../b", "/tmp/x", "a/", "a//b", "/", ".hidden", "a/.b", "~/../.."]
ODD = ["a\\b", "a\0b", "a\nb", "\x1b[2J", "\udcff", " ", "a ", "x" * 256, "脳" * 86, None, 5, True, ["a"]]


@pytest.mark.parametrize("name", LEADING_OUT + ODD)
def test_a_name_that_leads_out_of_the_output_root_or_is_none_is_refused(name):
    with pytest.raises(ValueError) as refused:
        folder_name(name)
    assert f"name is {name!r}" in str(refused.value)
