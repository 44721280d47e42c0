"""Callbacks by name: adding one never drops another, however it is added, and only what changes a result counts."""

import json
import re
import sys
import textwrap

import pytest
import torch
from safetensors.torch import load_file

from alps_exp.runs import RunFolder, config_hash
from alps_exp.training.base import DenoisingTraining

SUMMARY = "_target_:pytorch_lightning.callbacks.ModelSummary"
TWO_STEPS = ["trainer.max_steps=2", "training.optimizer.warmup_steps=1"]
GAUSSIAN = ["restore", "data=prior", "energy=gaussian", "teacher=gaussian", "operator=denoise", "num_samples=2"]
GAUSSIAN += [
    "sampler.schedule.steps=3",
    "data.test.count=2",
    "data.batch_size=1",
    "logger=none",
    "trainer.accelerator=cpu",
]
HERS = """
    from pytorch_lightning import Callback


    class Steps:
        def __init__(self, path: str) -> None:
            self.path = path

        def __call__(self, state) -> None:
            with open(self.path, "a") as file:
                print(f"{state.problem.image_ids[0]} {state.scale:.4f}", file=file)


    class Batches(Callback):
        def __init__(self, path: str) -> None:
            self.path = path

        def on_predict_batch_end(self, *_) -> None:
            with open(self.path, "a") as file:
                print("batch", file=file)
"""


@pytest.fixture
def hers(tmp_path, monkeypatch):
    """Make a module with callbacks of the user's own importable."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "hers.py").write_text(textwrap.dedent(HERS))
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield "hers"
    sys.modules.pop("hers", None)


def weights_in(root):
    (path,) = root.rglob("teacher.safetensors")
    return load_file(path)


def largest_difference(weights, others):
    return max((weights[name].double() - others[name].double()).abs().max().item() for name in weights)


def test_the_weights_are_averaged_whatever_else_is_added(teach, tmp_path):
    assert teach(*TWO_STEPS, "callbacks=checkpoint", "callbacks.checkpoint.every_n_steps=1")[0] == 0
    kept = [torch.load(next(tmp_path.rglob(f"step{i:06}.ckpt")), weights_only=True) for i in (1, 2)]
    live = [{k.removeprefix("network."): v for k, v in one["current_model_state"].items()} for one in kept]
    average = {name: (live[0][name] + live[1][name]) / 2 for name in live[0]}
    found = weights_in(tmp_path / "out")
    assert largest_difference(found, average) < 1e-6 < 1e-4 < largest_difference(found, live[1])
    ways = [
        ["callbacks=lr_monitor", "logger=csv"],
        ["callbacks=[early_stopping,lr_monitor]", "logger=csv"],
        ["callbacks=[ema,early_stopping]"],
        [f"+callbacks.mine={{{SUMMARY}}}"],
        [f"+trainer.callbacks=[{{{SUMMARY}}}]"],
    ]
    for number, words in enumerate(ways):
        status, out, err = teach(*TWO_STEPS, *words, root=f"way{number}")
        assert status == 0, out + err
        assert largest_difference(weights_in(tmp_path / f"way{number}"), found) == 0, words
    assert teach(*TWO_STEPS, "callbacks.ema=null", root="live")[0] == 0
    assert largest_difference(weights_in(tmp_path / "live"), live[1]) == 0


def test_a_run_is_the_same_with_callbacks_that_only_watch():
    ema, summary, early, rate = (
        {"_target_": target}
        for target in (
            "pytorch_lightning.callbacks.EMAWeightAveraging",
            "pytorch_lightning.callbacks.ModelSummary",
            "alps_exp.training.EarlyStopping",
            "pytorch_lightning.callbacks.LearningRateMonitor",
        )
    )
    kept = {"_target_": "alps_exp.lightning.KeptCheckpoints", "every_n_steps": 3}

    def of(callbacks, of_trainer=()):
        return config_hash({"callbacks": callbacks, "trainer": {"callbacks": [*of_trainer]}}, "train")

    alone = of({"ema": ema})
    assert alone == of({"rate": rate, "ema": ema, "kept": kept, "none": None}, [summary])
    assert alone == config_hash({"trainer": {"callbacks": [ema]}}, "train")  # as runs had it before
    assert of({"ema": ema, "early": early}) == of({"ema": ema}, [early])
    assert len({alone, of({}), of({"ema": ema, "early": early}), of({"early": early})}) == 4
    assert of({}) == config_hash({"trainer": {}}, "train")


def test_a_training_whose_validation_gets_no_better_ends_and_is_done(teach, tmp_path, monkeypatch):
    trained, step = [], DenoisingTraining.training_step

    def counted(self, batch, batch_idx):
        trained.append(self.global_step)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DenoisingTraining, "training_step", counted)
    words = ["trainer.max_steps=9", "trainer.val_check_interval=1", "callbacks=early_stopping"]
    words += ["callbacks.early_stopping.patience=2", "callbacks.early_stopping.min_delta=1000"]
    status, out, err = teach(*words)
    assert status == 0, out + err
    assert trained == [0, 1, 2]  # the first validation is the best so far, the next two are no better
    (weights,) = tmp_path.rglob("teacher.safetensors")
    whole = weights.read_bytes()
    assert "is done already" in teach(*words)[1]
    weights.unlink()
    assert teach(*words)[0] == 0 and weights.read_bytes() == whole and trained == [0, 1, 2]
    assert RunFolder(weights.parent).is_done()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["callbacks=early_stopping", "data.validation=null"], "needs validation images"),
        (
            ["callbacks=early_stopping", "callbacks.early_stopping.monitor=validation/mse"],
            "'validation/mse', expected one of .*validation/mse_sigma_0.5",
        ),
        (["callbacks=lr_monitor"], "LearningRateMonitor has no logger .*logger=csv"),
        (["+trainer.callbacks=[{_target_:alps_exp.training.RampedAveraging}]"], "both average .*callbacks.ema"),
        (["+callbacks.mine=5"], "callbacks.mine is 5, expected settings"),
        (["+callbacks.mine={_target_:alps_exp.samplers.Trajectory}"], "callbacks.mine is no callback of Lightning"),
        (["+callbacks.mine={period:3}"], "callbacks.mine is {'period': 3}, expected settings"),
        (["callbacks=earlystopping"], "did you mean early_stopping"),
    ],
)
def test_a_callback_that_cannot_work_is_refused_before_the_first_step(teach, tmp_path, words, message):
    status, out, err = teach(*TWO_STEPS, *words)
    (line,) = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert status == 2 and re.search(message, line), out + err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_sampler_calls_back_after_every_step_and_the_trainer_after_every_batch(alps, hers, tmp_path):
    log = tmp_path / "log"
    words = [f"+callbacks.{name}={{_target_:hers.{name.title()},path:{log}}}" for name in ("steps", "batches")]
    status, out, err = alps(*GAUSSIAN, *words, f"output_root={tmp_path / 'out'}")
    assert status == 0, out + err
    scales = ["2.5000", "0.2739", "0.0300"]
    assert log.read_text().splitlines() == [
        line for i in range(2) for line in (*[f"prior{i:04} {scale}" for scale in scales], "batch")
    ]
    status, _, err = alps(*GAUSSIAN, words[0], "sampler=zero_filled", "~sampler.schedule", f"output_root={tmp_path}")
    assert status == 2
    status, _, err = alps(*[w for w in GAUSSIAN if "schedule" not in w], words[0], "sampler=zero_filled")
    assert status == 2 and "ZeroFilled takes no steps" in err


def test_a_repeated_run_averages_as_the_first_and_watches_nothing(teach, alps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert teach(*TWO_STEPS, "callbacks=checkpoint", "callbacks.checkpoint.every_n_steps=1")[0] == 0
    (first,) = (path.parent for path in (tmp_path / "out").rglob("DONE"))
    status, out, err = alps("train", "--from", str(first))
    assert status == 0, out + err
    assert largest_difference(weights_in(tmp_path / "outputs"), weights_in(tmp_path / "out")) == 0
    assert not list((tmp_path / "outputs").rglob("step*.ckpt"))
    (start,) = (json.loads(path.read_text())["runs"][0] for path in (tmp_path / "outputs").rglob("provenance.json"))
    assert not [change for change in start["differences"] if "callbacks" in change]
