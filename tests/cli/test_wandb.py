"""What a run leaves for W&B, decoded from its offline file: numbers, thumbnails, weights and where they come from."""

import json
from pathlib import Path

import numpy as np
import pytest
from offline_wandb import artifacts, history, items_of, whole
from PIL import Image

from alps_exp.files import file_hash
from alps_exp.lightning.wandb_run import MOST_IMAGES, thumbnail
from alps_exp.runs import RunFolder

TINY = ["data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "num_samples=4"]
TINY += ["trainer.accelerator=cpu", "operator=inpaint_random", "sampler.schedule.steps=2", "figures=false"]


def run_of(found):
    return next(record.run for record in found if record.HasField("run"))


def table_of(found):
    """Return the rows of the one table of images, a dictionary for each, and the pictures that they name."""
    (artifact,) = (one for name, one in artifacts(found).items() if name.endswith("-thumbnails"))
    files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    table = json.loads(files.pop("thumbnails.table.json").read_text())
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]], files


def test_numbers_of_a_restoration_are_those_of_its_records(no_key, alps, tmp_path):
    words = ["data.test.count=2", f"output_root={tmp_path}", "logger.notes=a note", "logger.tags=[night]"]
    assert alps("restore", *TINY, *words)[0] == 0
    found = whole(tmp_path)
    run, numbers = run_of(found), history(found)
    assert (run.job_type, run.notes, list(run.tags)) == ("restore", "a note", ["night"])
    (done,) = tmp_path.rglob("DONE")
    records = [record for record in RunFolder(done.parent).records() if record.estimate == "mmse"]
    spread = np.square([record.spread for record in records]).sum() ** 0.5
    error = np.square([record.error for record in records]).sum() ** 0.5
    assert numbers["mmse/spread_error"] == pytest.approx(spread / error)
    assert numbers["mmse/psnr"] == pytest.approx(np.mean([record.psnr for record in records]))
    assert numbers["seconds"] == pytest.approx(np.mean([record.seconds for record in records]))
    assert (numbers["nfe_forward"], numbers["nfe_vjp"]) == (records[0].nfe_forward, records[0].nfe_vjp)
    assert numbers["peak_memory_mib"] == max(record.peak_memory_mib for record in records)
    assert numbers["mmse/flagged"] == np.mean([bool(record.flags) for record in records])
    rows, files = table_of(found)
    assert [row["psnr"] for row in rows] == pytest.approx([record.psnr for record in records])
    assert {row["estimate"]["_type"] for row in rows} == {"image-file"} and rows[0]["std"]["caption"].startswith(
        "0 to "
    )


def test_two_requests_of_one_name_differ_and_the_table_of_images_is_bounded(no_key, alps, tmp_path):
    names = []
    for seed in (0, 1):
        root = tmp_path / str(seed)
        words = [f"data.test.count={MOST_IMAGES + 1}", f"output_root={root}", "name=same", f"seed={seed}"]
        assert alps("restore", *TINY, *words)[0] == 0
        found = whole(root)
        names.append(run_of(found).display_name)
        assert len(table_of(found)[0]) == MOST_IMAGES
    assert names[0] != names[1] and all(name.startswith("same-") for name in names)


def test_weights_join_the_training_that_left_them_and_the_runs_that_use_them(no_key, teach, alps, tmp_path):
    status, out, err = teach("trainer.max_steps=4", "trainer.log_every_n_steps=2", "logger=wandb")
    assert status == 0, err
    (weights,) = tmp_path.rglob("teacher.safetensors")
    found = whole(tmp_path / "out")
    (left,) = artifacts(found).values()
    assert left.name == f"weights-{file_hash(weights)[:16]}" and not left.use_after_commit
    assert json.loads(left.metadata)["sha256"] == file_hash(weights)
    numbers, rates = (
        history(found),
        [float(item.value_json) for item in items_of(found) if "learning_rate" in (item.key, *item.nested_key)],
    )
    assert numbers["images_per_second"] == pytest.approx(2 * numbers["steps_per_second"])  # the batch size
    assert len(rates) == 2 and 0 < rates[0] <= 1e-3 and run_of(found).job_type == "train"

    words = ["data=prior", "data.test.count=1", "energy=gaussian", "energy.channels=3", "energy.size=16"]
    words += ["teacher=file", f"teacher.name={weights}", "sampler=alps_teacher", "sampler.schedule.steps=2"]
    words += ["operator=inpaint_random", "num_samples=2", "trainer.accelerator=cpu", "figures=false"]
    status, _, err = alps("restore", *words, f"output_root={tmp_path / 'restored'}")
    assert status == 0, err
    used = artifacts(whole(tmp_path / "restored"))[left.name]
    assert used.use_after_commit and used.digest == left.digest
    assert [entry.ref for entry in used.manifest.contents] == [weights.resolve().as_uri()]  # nothing is uploaded


@pytest.mark.parametrize(
    ("image", "peak", "expected"),
    [
        (np.array([[[-1.0, 0.0, 1.0, 3.0]]]), 1.0, [0, 128, 255, 255]),
        (np.array([[[0j, 1j, -2.0, 4.0]]]), 2.0, [0, 128, 255, 255]),
        (np.zeros((1, 1, 4), complex), 0.0, [0, 0, 0, 0]),
    ],
)
def test_a_thumbnail_shows_the_range_of_the_images(image, peak, expected):
    assert np.asarray(thumbnail(image, peak)).tolist() == [expected]


def test_a_thumbnail_of_color_is_small(tmp_path):
    picture = thumbnail(np.stack([np.full((300, 200), level) for level in (-1.0, 0.0, 1.0)]), 1.0)
    assert isinstance(picture, Image.Image) and picture.size == (85, 128) and picture.getpixel((3, 3)) == (0, 128, 255)
