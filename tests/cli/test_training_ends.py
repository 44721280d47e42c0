"""How a training ends: its budget spent in steps or time, diverged, or done once and damaged since."""

import json
import re
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from alps_exp.files import file_hash
from alps_exp.lightning.checkpoint_files import LAST
from alps_exp.runs import RunFolder
from alps_exp.training.base import DenoisingTraining

OPTIMIZER = "training.optimizer"


@pytest.fixture
def steps(monkeypatch):
    """Return the list of the steps that are trained."""
    trained = []
    step = DenoisingTraining.training_step

    def counted(self, batch, batch_idx):
        trained.append(self.global_step)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DenoisingTraining, "training_step", counted)
    return trained


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def run_in(root):
    (path,) = root.rglob(str(LAST))
    return RunFolder(path.parents[1])


def card_of(run):
    (card,) = run.path.glob("*.md")
    return dict(re.findall(r"^\| (.+?) \| (.*) \|$", card.read_text(), re.MULTILINE))


def history_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["history"])


def test_what_is_lost_of_a_training_is_made_again_without_a_step(teach, steps, tmp_path):
    budget = ["trainer.max_steps=3", f"{OPTIMIZER}.warmup_steps=1", "weights=float16"]
    assert teach(*budget)[0] == 0
    run = run_in(tmp_path / "out")
    left = ("teacher.safetensors", "teacher.md", "config.yaml", "validation.json")
    whole = {name: (run.path / name).read_bytes() for name in left}
    assert run.vouched_files().keys() == {*left, "provenance.json"}
    checkpoint = (run.path / LAST).stat().st_mtime_ns
    for name in ("teacher.md", "config.yaml", "DONE", "validation.json", "teacher.safetensors"):
        written = [(run.path / other).stat().st_mtime_ns for other in left[:2]]
        cut(run.path / name)
        status, out, err = teach(*budget)
        assert status == 0, out + err
        assert {name: (run.path / name).read_bytes() for name in left} == whole
        assert run.is_done() and run.vouched_files().keys() == {*left, "provenance.json"}
        again = [(run.path / other).stat().st_mtime_ns for other in left[:2]]
        assert (again == written) == (name in ("config.yaml", "DONE"))
    for name in (*left, "DONE"):
        (run.path / name).unlink()
    assert teach(*budget)[0] == 0
    assert {name: (run.path / name).read_bytes() for name in left} == whole
    assert steps == [0, 1, 2] and (run.path / LAST).stat().st_mtime_ns == checkpoint
    assert "is done already" in teach(*budget)[1]


def test_a_checkpoint_that_is_damaged_is_named_where_it_is_needed(teach, steps, tmp_path):
    assert teach("trainer.max_steps=2")[0] == 0
    run = run_in(tmp_path / "out")
    cut(run.path / LAST)
    assert "is done already" in teach("trainer.max_steps=2")[1]
    cut(run.path / "teacher.md")
    status, _, err = teach("trainer.max_steps=2")
    (line,) = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert status == 2 and str(LAST) in line and "remove it" in line and not run.is_done()
    (run.path / LAST).unlink()
    assert teach("trainer.max_steps=2")[0] == 0
    assert steps == [0, 1, 0, 1] and run.is_done()


def test_a_damaged_last_checkpoint_costs_the_steps_since_the_one_before(teach, steps, tmp_path):
    budget = ["trainer.max_steps=3", "checkpoint_minutes=0"]
    assert teach(*budget)[0] == 0
    run = run_in(tmp_path / "out")
    whole = (run.path / "teacher.safetensors").read_bytes()
    for name in ("DONE", "teacher.safetensors"):
        (run.path / name).unlink()
    content = bytearray((run.path / LAST).read_bytes())
    content[len(content) // 2] ^= 1
    (run.path / LAST).write_bytes(content)
    status, out, err = teach(*budget)
    assert status == 0 and f"{LAST.name} is damaged, and left out" in out + err
    assert steps == [0, 1, 2, 2]
    assert (run.path / "teacher.safetensors").read_bytes() == whole and run.is_done()


def test_checkpoints_that_are_gone_after_done_are_not_missed(teach, steps, tmp_path):
    assert teach("trainer.max_steps=3", "checkpoint_minutes=0")[0] == 0
    run = run_in(tmp_path / "out")
    (run.path / LAST).unlink()
    assert "is done already" in teach("trainer.max_steps=3")[1]
    constant = ["optimizer@training.optimizer=budget", f"{OPTIMIZER}.decay_fraction=0"]
    assert teach("trainer.max_steps=2", *constant, root="longer")[0] == 0
    longer = run_in(tmp_path / "longer")
    for path in longer.path.glob("checkpoints/*"):
        path.unlink()
    assert "is done already" in teach("trainer.max_steps=2", *constant, root="longer")[1]
    status, _, err = teach("trainer.max_steps=3", *constant, root="longer")
    assert status == 2 and "has no checkpoint to go on from" in err and len(steps) == 5


def test_another_number_of_devices_is_another_batch_and_stops_a_training(teach, breaking, tmp_path):
    with breaking() as write_always:
        assert teach("trainer.max_steps=3", "trainer.devices=auto", *write_always)[0] == 1
    (path,) = (tmp_path / "out").rglob("provenance.json")
    assert RunFolder(path.parent).starts()[-1].effective_batch == 2
    path.write_text(path.read_text().replace('"effective_batch": 2', '"effective_batch": 4'))
    status, _, err = teach("trainer.max_steps=3", "trainer.devices=auto")
    assert status == 2 and "effective batch 4 before, 2 now" in err and "resume_anyway=true" in err
    assert teach("trainer.max_steps=3", "trainer.devices=auto", "resume_anyway=true")[0] == 0


def test_a_done_from_before_sizes_is_believed_where_the_card_knows_the_weights(teach, steps, tmp_path):
    assert teach("trainer.max_steps=2")[0] == 0
    run = run_in(tmp_path / "out")
    (run.path / LAST).unlink()
    (run.path / "DONE").write_bytes(b"")
    written = (run.path / "teacher.safetensors").stat().st_mtime_ns
    assert teach("trainer.max_steps=2")[0] == 0
    assert (run.path / "teacher.safetensors").stat().st_mtime_ns == written and steps == [0, 1] and run.is_done()


def test_the_weights_are_the_averaged_ones_and_the_card_says_what_was_asked_and_reached(teach, tmp_path):
    request = ["trainer.max_steps=4", "optimizer@training.optimizer=budget", "trainer.accumulate_grad_batches=3"]
    status, out, err = teach(*request, f"{OPTIMIZER}.warmup_steps=2", "checkpoint_minutes=0")
    assert status == 0, out + err
    run = run_in(tmp_path / "out")
    state = torch.load(run.path / LAST, weights_only=True)
    for name, value in load_file(run.path / "teacher.safetensors").items():
        assert torch.equal(value, state["state_dict"][f"network.{name}"])
    live, averaged = state["current_model_state"], state["state_dict"]
    assert any(not torch.equal(live[name], averaged[name]) for name in averaged)
    card = card_of(run)
    assert (card["steps"], card["budget"]) == ("4", "4 steps")
    assert card["effective batch"] == "6 images: 2 x 1 devices x 3 batches a step"
    assert card["learning rate"] == (
        "0.001 after a warm-up of 2 steps, constant, then as 1 - sqrt to zero over the last 20 % of the budget"
    )
    assert (card["precision"], card["device"]) == ("32-true", "cpu")
    assert card["sha256"] == file_hash(run.path / "teacher.safetensors")
    assert card["validation"].startswith("mse_sigma_0.05 ")  # with no val_check_interval that meets the last step
    assert card["validation"] in out and "started from" not in card


def test_a_training_whose_time_is_spent_is_done_and_another_starts_from_its_weights(teach, steps, tmp_path):
    asked = ["trainer.max_time={milliseconds:300}", "trainer.max_steps=-1", "optimizer@training.optimizer=budget"]
    status, out, err = teach(*asked)
    assert status == 0, out + err
    run = run_in(tmp_path / "out")
    card, first = card_of(run), run.path / "teacher.safetensors"
    assert card["budget"] == "0:00:00.300000 of training" and int(card["steps"].replace(",", "")) == len(steps) > 0
    assert "is done already" in teach(*asked)[1]
    status, out, err = teach("trainer.max_steps=2", _load(first), root="second")
    assert status == 0, out + err
    second = run_in(tmp_path / "second")
    origins = [{"sha256": file_hash(first), "steps": len(steps) - 2}]
    assert history_of(second.path / "teacher.safetensors") == {"steps": 2, "origins": origins}
    status, out, err = teach("trainer.max_steps=1", _load(second.path / "teacher.safetensors"), root="third")
    assert status == 0, out + err
    third = run_in(tmp_path / "third")
    before = file_hash(second.path / "teacher.safetensors")
    assert history_of(third.path / "teacher.safetensors")["origins"] == [{"sha256": before, "steps": 2}, *origins]
    card = card_of(third)
    assert re.findall(r"sha256 (\w{64}) \(([\d,]+) steps\)", card["started from"]) == [
        (before, "2"),
        (file_hash(first), f"{len(steps) - 3:,}"),
    ]
    assert card["steps in all"] == f"{len(steps):,}" and "warmed up again" in card["started from"]


def _load(path):
    return f"training.start={{_target_:alps_exp.priors.load_teacher,name:{path}}}"


def test_a_killed_training_goes_on_with_the_time_that_it_had_left(teach, steps, tmp_path, monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: 0.1 * len(steps))  # each step takes a tenth of a second
    monkeypatch.setattr("alps_exp.training.budget.time", clock)
    asked = ["trainer.max_time={milliseconds:450}", "trainer.max_steps=-1", "checkpoint_minutes=0"]

    def die(self, *_):
        if self.global_step == 3:
            raise RuntimeError("the machine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(DenoisingTraining, "on_train_batch_start", die)
        assert teach(*asked)[0] == 1
    assert steps == [0, 1, 2]
    assert teach(*asked)[0] == 0
    assert steps == [0, 1, 2, 3, 4] and card_of(run_in(tmp_path / "out"))["steps"] == "5"


def test_only_its_budget_ends_a_training(teach, monkeypatch):
    epochs = []
    monkeypatch.setattr(DenoisingTraining, "on_fit_start", lambda self: epochs.append(self.trainer.max_epochs))
    assert teach("trainer.max_time={milliseconds:1}", "trainer.max_steps=-1")[0] == 0
    assert epochs == [-1]  # Lightning's own default is 1,000 where max_steps is -1


def test_at_a_constant_rate_a_longer_training_goes_on_from_a_shorter_one(teach, steps, tmp_path):
    constant = ["optimizer@training.optimizer=budget", f"{OPTIMIZER}.decay_fraction=0"]
    assert teach(*constant, "trainer.max_steps=3")[0] == 0
    assert teach(*constant, "trainer.max_steps=5")[0] == 0
    assert steps == [0, 1, 2, 3, 4] and "is done already" in teach(*constant, "trainer.max_steps=5")[1]
    assert teach(*constant, "trainer.max_steps=5", root="whole")[0] == 0
    extended, whole = (run_in(tmp_path / root) for root in ("out", "whole"))
    weights = [(run.path / "teacher.safetensors").read_bytes() for run in (extended, whole)]
    assert weights[0] == weights[1] and card_of(extended)["steps"] == "5"
    status, _, err = teach(*constant, "trainer.max_steps=4")
    assert status == 2 and "max_steps is 4" in err and "5 steps" in err


@pytest.mark.parametrize("more", [[], ["trainer.precision=bf16-mixed"]])
def test_a_training_that_diverges_is_not_done_and_keeps_its_last_good_checkpoint(teach, tmp_path, more):
    wild = ["trainer.max_steps=30", f"{OPTIMIZER}.learning_rate=1e30", "checkpoint_minutes=0", *more]
    status, _, err = teach(*wild)
    lines = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert status == 1 and len(lines) == 1 and "Traceback" not in err
    assert re.search(r"diverged: .* is not finite (at|after) step \d+", lines[0])
    (failed,) = tmp_path.rglob("FAILED")
    assert "is not finite" in failed.read_text()
    assert not list(tmp_path.rglob("DONE")) and not list(tmp_path.rglob("out/**/*.safetensors"))
    for path in tmp_path.rglob("*.ckpt"):
        state = torch.load(path, weights_only=True)["current_model_state"]
        assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("interval", [1, 50])
def test_a_loss_that_is_not_finite_is_named_with_its_step(teach, tmp_path, monkeypatch, interval):
    loss = DenoisingTraining.weight

    def infinite(self, sigma):
        return loss(self, sigma) * (float("inf") if self.global_step == 2 else 1)

    monkeypatch.setattr(DenoisingTraining, "weight", infinite)
    monkeypatch.setattr("alps_exp.training.base.CHECK_EVERY", interval)
    status, _, err = teach("trainer.max_steps=6")
    assert status == 1 and "the loss is not finite at step 3" in err and not list(tmp_path.rglob("DONE"))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (f"{OPTIMIZER}.learning_rate=nan", "learning_rate.*positive.* nan"),
        (f"{OPTIMIZER}.learning_rate=-1e-3", "learning_rate.*positive.*-0.001"),
        (f"{OPTIMIZER}.learning_rate=inf", "learning_rate.*finite.* inf"),
        (f"{OPTIMIZER}.warmup_steps=-1", "warmup_steps.* 0.* -1"),
        (f"+{OPTIMIZER}.beta2=1.0", "beta2.*below 1.* 1.0"),
        ("training.network.sigma_data=nan", "sigma_data.*positive.* nan"),
        ("training.sigma.mean=nan", "sigma.mean.*finite.* nan"),
        ("training.sigma.std=inf", "sigma.std.*finite.* inf"),
        ("training.energy_weight=nan", "energy_weight.*finite.* nan"),
        ("ema_decay=1.0", "ema_decay.*below 1.* 1.0"),
        ("checkpoint_minutes=nan", "checkpoint_minutes.* 0.* nan"),
        ("trainer.max_steps=0", "trainer.max_steps.* 1.* 0"),
        ("trainer.max_time=3min", "trainer.max_time.*'3min'.*DD:HH:MM:SS"),
        ("trainer.max_time={mins:3}", "trainer.max_time.*mins"),
        ("trainer.max_time=00:00:00:00", "trainer.max_time.*positive"),
    ],
)
def test_numbers_that_no_training_can_have_are_refused(teach, tmp_path, argument, message):
    status, _, err = teach(argument)
    lines = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert status == 2 and len(lines) == 1 and re.search(message, lines[0]), err
    assert not list(tmp_path.rglob("provenance.json"))
