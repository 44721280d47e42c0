"""Slices of a subject from NRRD: orientation, scale, ids, and files that are none."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.datasets import SubjectSlices
from alps_exp.datasets.subject import read_nrrd

nrrd = pytest.importorskip("nrrd", reason="needs the demo extra")
DATA = os.environ.get("ALPS_DATA")
SUBJECT = Path(DATA or "nowhere", "mri", "pyradiomics_brain1_t1ce.nrrd")


def head():
    """Return planes (4, 20, 16), lowest first, bright in front on the right, brighter from plane to plane."""
    planes = np.zeros((4, 20, 16), np.int16)
    planes[:, 2:8, 10:14] = 1000 * np.arange(1, 5)[:, None, None]
    return planes


def write(path, planes=None, space="left-posterior-superior", steps=(1.5, 1.5, 4.0)):
    """Write the planes as a file whose axes go the way of the steps in its space."""
    values = (head() if planes is None else planes).transpose(2, 1, 0)[:, ::-1]  # to the right, front, upwards
    signs = np.sign(steps) * ([-1, -1, 1] if space.startswith("left") else 1)
    turned = np.flip(values, [axis for axis, sign in enumerate(signs) if sign < 0])
    directions = np.diag(steps) if np.ndim(steps) == 1 else steps
    nrrd.write(str(path), turned, {"space": space, "space directions": directions, "space origin": np.zeros(3)})
    return str(path)


@pytest.mark.parametrize("steps", [(1.5, 1.5, 4.0), (1.5, -1.5, 4.0), (-1.5, 1.5, -4.0)])
@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
def test_every_orientation_gives_the_same_planes(tmp_path, space, steps):
    planes, spacing = read_nrrd(Path(write(tmp_path / "head.nrrd", space=space, steps=steps)))
    assert np.array_equal(planes, head()) and planes.dtype == np.float32 and spacing == 1.5


def test_slices_stand_in_the_middle_of_the_view_and_have_unit_maximum(tmp_path):
    data = SubjectSlices(write(tmp_path / "head.nrrd"), size=12, view=36, planes=(1, 4))  # 24 pixels, then halved
    assert data.image_ids == ["head_z001", "head_z002", "head_z003"]
    item = data[1]
    magnitude = item["image"][0].abs().numpy()
    assert item["image"].shape == (1, 12, 12) and item["image"].dtype == torch.complex64
    assert item["image_id"] == "head_z002" and magnitude.max() == pytest.approx(1, abs=1e-6)
    bright = np.zeros((12, 12), bool)
    bright[2:5, 7:9] = True  # rows 2:8 and columns 10:14 of the file, 2 and 4 pixels from the border
    assert magnitude[bright].min() > 0.85 and magnitude[~bright].max() < 0.15
    assert not torch.equal(item["image"].angle(), data[0]["image"].angle())
    assert torch.equal(SubjectSlices(str(data.path), size=12, view=36, planes=(1, 4))[1]["image"], item["image"])


def test_the_index_changes_with_the_volume(tmp_path):
    before = SubjectSlices(write(tmp_path / "head.nrrd")).index
    after = SubjectSlices(write(tmp_path / "head.nrrd", head() + 1)).index
    assert len(before) == 4 and not set(before) & set(after)


def test_bad_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="nowhere.nrrd"):
        len(SubjectSlices("nowhere.nrrd"))
    whole = write(tmp_path / "head.nrrd")
    with pytest.raises(ValueError, match=r"\[2, 9\).* 4 planes.*head.nrrd"):
        len(SubjectSlices(whole, planes=(2, 9)))
    (tmp_path / "text.nrrd").write_text("no volume")
    (tmp_path / "torn.nrrd").write_bytes(Path(whole).read_bytes()[:-40])
    nrrd.write(str(tmp_path / "bare.nrrd"), head())
    for name in ("text", "torn", "bare"):
        with pytest.raises(ValueError, match=f"{name}.nrrd"):
            len(SubjectSlices(str(tmp_path / f"{name}.nrrd")))
    for steps in ((1.5, 2.0, 4.0), (1.5, 1.5, 0.0)):
        with pytest.raises(ValueError, match="odd.nrrd"):
            len(SubjectSlices(write(tmp_path / "odd.nrrd", steps=steps)))
    oblique = np.diag([1.5, 1.5, 4.0])
    oblique[0, 1] = 0.3
    nrrd.write(
        str(tmp_path / "oblique.nrrd"),
        head(),
        {"space": "left-posterior-superior", "space directions": oblique, "space origin": np.zeros(3)},
    )
    with pytest.raises(ValueError, match="oblique.nrrd"):
        len(SubjectSlices(str(tmp_path / "oblique.nrrd")))
    with pytest.raises(ValueError, match="dark.nrrd"):
        len(SubjectSlices(write(tmp_path / "dark.nrrd", 0 * head())))
    monkeypatch.setitem(sys.modules, "nrrd", None)
    with pytest.raises(ValueError, match="pip install"):
        len(SubjectSlices(whole))


@pytest.mark.skipif(not SUBJECT.is_file(), reason="set ALPS_DATA to the folder with the subject's volume")
def test_the_subject_is_upright_and_in_order():
    planes, spacing = read_nrrd(SUBJECT)
    values, _ = nrrd.read(str(SUBJECT))
    assert planes.shape == (25, 256, 256) and spacing == pytest.approx(0.78125)
    # The file's steps go to the left, to the front and upwards.
    assert np.array_equal(planes[7], values[::-1, ::-1, 7].T)
    assert (planes[24] > 150).mean() < 0.5 * (planes[12] > 150).mean()  # the top of the head is small
