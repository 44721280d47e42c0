"""The verb `restore` from Python: a durable run of tensors or of a dataset."""

import json
import time
from contextlib import contextmanager
from functools import partial

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure

import alps_exp
from alps_exp.datasets import TensorImages
from alps_exp.masks import FileMask, RandomMask
from alps_exp.operators import Inpainting
from alps_exp.priors import NullPrior, smooth_gaussian
from alps_exp.reconstruction import ZeroFilled
from alps_exp.report import build_table
from alps_exp.restoration import Labels
from alps_exp.runs import RunFolder
from alps_exp.samplers import ALPS, MAP, GeometricSchedule

SIDE = 12
SAMPLER = ALPS(GeometricSchedule(2.0, 0.1, 6))


@pytest.fixture(autouse=True)
def figures(request, monkeypatch):
    """Draw no figure, which is half the time of a small run, but for the first test."""
    if "sampler" not in request.node.name:
        monkeypatch.setattr(Figure, "savefig", lambda self, buffer, **_: buffer.write(b"not drawn"))


def images(count=3):
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(5)) * 2 - 1


def operator(noise_std=0.1):
    return Inpainting((torch.arange(SIDE) % 3 > 0).float().expand(1, 1, SIDE, SIDE), noise_std)


def restore(folder, sampler=SAMPLER, of=None, prior=None, **settings):
    settings = {"num_samples": 2, "batch_size": 2} | settings
    prior = smooth_gaussian(size=SIDE) if prior is None else prior
    return alps_exp.restore(images() if of is None else of, operator(), sampler, prior, folder, **settings)


def test_its_estimates_are_those_of_the_sampler(tmp_path):
    run = restore(tmp_path, save_samples=True, batch_size=3, seed=4)
    result = [run.folder.load_result(f"{i:04d}") for i in range(3)]
    y = torch.stack([torch.as_tensor(one.measurement) for one in result])
    direct = SAMPLER(smooth_gaussian(size=SIDE), operator(), y, 2, 4, ["0000", "0001", "0002"])
    assert np.array_equal(np.stack([one.samples for one in result], 1), direct.samples.numpy())
    assert (run.folder.path / "DONE").exists()
    assert (run.folder.path / "figure.png").read_bytes().startswith(b"\x89PNG")
    residual = (y - images())[operator().mask.expand_as(y)]
    assert residual.std().item() == pytest.approx(0.1, rel=0.1)


def test_its_records_are_a_data_frame_of_those_in_the_folder(tmp_path):
    run = restore(tmp_path, labels=Labels("task", "mask", "alps"))
    lines = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert len(run.records) == len(lines) == 9
    assert run.records["psnr"].tolist() == [line["psnr"] for line in lines]
    assert repr(run) == f"Run({tmp_path}: 3 images restored, 0 failed)"
    assert set(run.records["task"]) == {"task"} and run.counts() == {"images": 3, "failed": 0, "with_truth": 3}
    table = build_table([tmp_path])
    assert run.means().loc["mmse", "psnr"] == pytest.approx(table.set_index("estimate").loc["mmse", "psnr"])


def test_the_same_call_does_nothing_more_and_gives_the_same_records(tmp_path, monkeypatch):
    first = restore(tmp_path)
    monkeypatch.setattr(ALPS, "chain", None)  # no sample is drawn
    again = restore(tmp_path)
    assert first.restored and not again.restored
    pd.testing.assert_frame_equal(again.records, first.records)


def test_an_image_that_was_lost_is_restored_again_to_the_same_bits(tmp_path):
    restore(tmp_path, batch_size=1)
    path = tmp_path / "images" / "0001.h5"
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}
    psnr = json.loads((tmp_path / "records.jsonl").read_text().splitlines()[3])["psnr"]
    path.unlink()
    run = restore(tmp_path, batch_size=1)
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}
    assert [name for name in before if after[name] != before[name]] == ["0001.h5"]
    assert run.records["psnr"][3] == psnr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, "seed 0 before, 1 now"),
        ({"num_samples": 3}, "num_samples 2 before, 3 now"),
        ({"sampler": ALPS(GeometricSchedule(2.0, 0.1, 7))}, "sampler.schedule.steps 6 before, 7 now"),
        ({"of": 0.5 * images()}, "data"),
        ({"prior": smooth_gaussian(size=SIDE, length=1.0)}, "prior"),
    ],
    ids=lambda change: "-".join(change) if isinstance(change, dict) else "",
)
def test_another_request_never_lands_in_the_folder(tmp_path, change, told):
    before = restore(tmp_path).records
    with pytest.raises(ValueError, match=told):
        restore(tmp_path, **change)
    pd.testing.assert_frame_equal(restore(tmp_path).records, before)


def test_another_mask_is_another_request(tmp_path):
    prior, run = smooth_gaussian(size=SIDE), partial(alps_exp.restore, images(), num_samples=2)
    run(operator(), SAMPLER, prior, tmp_path)
    other = Inpainting(torch.ones(1, 1, SIDE, SIDE), 0.1)
    with pytest.raises(ValueError, match="operator.mask"):
        run(other, SAMPLER, prior, tmp_path)


def test_masks_may_be_rules_and_results_do_not_depend_on_the_batch(tmp_path):
    rule = partial(Inpainting, mask=RandomMask(0.5), noise_std=0.1)
    runs = [
        alps_exp.restore(
            TensorImages(images(), ["a", "b", "c"]),
            rule,
            SAMPLER,
            smooth_gaussian(size=SIDE),
            tmp_path / str(size),
            num_samples=2,
            batch_size=size,
        )
        for size in (1, 3)
    ]
    masks = [[(run.folder.load_result(i).measurement != 0).tobytes() for i in "abc"] for run in runs]
    assert masks[0] == masks[1] and len(set(masks[0])) == 3
    assert np.allclose(runs[0].records["psnr"], runs[1].records["psnr"], atol=1e-3)


def test_a_mask_file_that_changes_is_noticed(tmp_path):
    np.save(tmp_path / "mask.npy", np.eye(SIDE))
    rule = partial(Inpainting, mask=FileMask(str(tmp_path / "mask.npy")), noise_std=0.1)
    run = partial(alps_exp.restore, images(), rule, SAMPLER, smooth_gaussian(size=SIDE), tmp_path / "run")
    run(num_samples=2)
    np.save(tmp_path / "mask.npy", np.ones((SIDE, SIDE)))
    with pytest.raises(ValueError, match="data .* before"):
        run(num_samples=2)


def test_an_image_that_fails_costs_only_itself(tmp_path, caplog):
    bad = images()
    bad[1] = torch.nan
    run = restore(tmp_path, MAP(GeometricSchedule(2.0, 0.1, 6), max_iterations=2), of=bad)
    assert list(run.failed) == ["0001"] and run.counts()["images"] == 2
    assert np.isfinite(run.means().to_numpy(dtype=float)).all()


def test_a_reconstruction_takes_no_prior(tmp_path):
    run = alps_exp.restore(images(), operator(), ZeroFilled(), NullPrior(), tmp_path)
    assert set(run.records["estimate"]) == {"point"} and len(run.records) == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"of": torch.zeros(SIDE, SIDE)}, r"\(12, 12\)"),
        ({"of": torch.zeros(2, 3, SIDE, SIDE)}, "1 channels.*3"),
        ({"num_samples": 0}, "num_samples.*0"),
        ({"of": TensorImages(images(2), ["a", "a"])}, "'a'"),
    ],
    ids=["dimensions", "channels", "samples", "ids"],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, arguments, told):
    with pytest.raises(ValueError, match=told):
        restore(tmp_path / "run", **arguments)
    assert not (tmp_path / "run" / "DONE").exists() and not (tmp_path / "run" / "images").exists()


def test_a_trainer_of_the_users_own(tmp_path):
    quiet = {"logger": False, "accelerator": "cpu", "enable_checkpointing": False, "default_root_dir": tmp_path}
    with pytest.raises(ValueError, match="inference_mode=False"):
        restore(tmp_path / "run", trainer=pl.Trainer(**quiet))
    run = restore(tmp_path / "run", trainer=pl.Trainer(inference_mode=False, **quiet))
    assert run.counts()["images"] == 3


def test_an_operator_must_be_one(tmp_path):
    with pytest.raises(ValueError, match="LinearOperator"):
        alps_exp.restore(images(), lambda batch: operator(), SAMPLER, smooth_gaussian(size=SIDE), tmp_path)


def test_what_is_still_written_when_a_run_fails_is_written_before_the_folder_is_free_for_another(tmp_path, monkeypatch):
    events, save, lock = [], RunFolder.save_result, RunFolder.lock

    def slow_save(self, image_id, result):
        time.sleep(0.3)
        save(self, image_id, result)
        events.append(image_id)

    @contextmanager
    def watched_lock(self):
        try:
            with lock(self):
                yield
        finally:
            events.append("free")

    steps = iter(range(3 * SAMPLER.num_steps))

    def fail_in_the_third(state):
        if next(steps) == 2 * SAMPLER.num_steps:
            raise KeyError("a fault of the program")

    monkeypatch.setattr(RunFolder, "save_result", slow_save)
    monkeypatch.setattr(RunFolder, "lock", watched_lock)
    with pytest.raises(KeyError):
        restore(tmp_path, batch_size=1, callbacks=[fail_in_the_third])
    assert events == ["0000", "0001", "free"]
