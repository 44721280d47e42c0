"""Metrics of whole volumes are fastMRI's, against the root-sum-of-squares images of its files."""

import re

import h5py
import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from alps_exp.mri import EspiritMaps, FastMRIVolume, PreparedSlices
from alps_exp.mri.preparation import PreparationSettings, prepare
from alps_exp.runs import RunFolder

SLICES, SIDE, COLUMNS = 3, 32, 24
HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>64</x><y>32</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>32</x><y>24</y><z>1</z></matrixSize></reconSpace></encoding></ismrmrdHeader>"""
PREPARE = ["maps.calibration_width=16", "maps.kernel_width=4", "num_workers=1"]
GAUSSIAN = [
    f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".complex_valued=true", ".size=32")
]


def transform(x, name):
    return np.fft.fftshift(getattr(np.fft, name)(np.fft.ifftshift(x, (-2, -1)), norm="ortho"), (-2, -1))


def center(x):
    rows, columns = (x.shape[-2] - SIDE) // 2, (x.shape[-1] - COLUMNS) // 2
    return x[..., rows : rows + SIDE, columns : columns + COLUMNS]


def write_volume(path, coil_noise=(0.002, 0.004, 0.008, 0.016)):
    """Write slices that grow dimmer, of coils whose noise differs, with the target of fastMRI."""
    rows, columns = np.meshgrid(np.linspace(-2, 2, 64), np.linspace(-1, 1, SIDE), indexing="ij")
    image = (np.hypot(rows / 0.85, columns / 0.7) < 1) + 0.5 * (np.hypot(rows - 0.3, columns) < 0.3)
    coils = np.stack([np.exp(-((rows - a) ** 2 + (columns - b) ** 2) / 2) for a in (-1, 1) for b in (-1, 1)])
    images = 3e-5 * image * coils * np.linspace(1, 0.5, SLICES)[:, None, None, None]
    normals = np.random.default_rng(0).standard_normal((2, *images.shape))
    noise = 1e-5 * np.array(coil_noise)[:, None, None] * (normals[0] + 1j * normals[1])
    kspace = (transform(images, "fft2") + noise).astype(np.complex64)
    target = np.linalg.norm(center(transform(kspace, "ifft2")), axis=1).astype(np.float32)
    with h5py.File(path, "w") as file:
        arrays = {"kspace": kspace, "reconstruction_rss": target, "ismrmrd_header": HEADER}
        for name, array in arrays.items():
            file[name] = array
    return target


def prepared(path, **settings):
    return prepare(FastMRIVolume(path), PreparationSettings(FastMRIVolume, EspiritMaps(16, 4), **settings, config={}))


@pytest.fixture
def run(alps, tmp_path):
    """Return what prepares the files, restores and makes a table, and returns the table of volumes and the run."""

    def results(*request):
        (tmp_path / "files").mkdir(exist_ok=True)
        folders = {"runs": tmp_path / "out", "output": tmp_path / "table"}
        prepare = ["prepare", f"source={tmp_path / 'files'}", f"output={tmp_path / 'prepared'}", *PREPARE]
        restore = ["restore", "data=fastmri", f"data.test.path={tmp_path / 'prepared'}", *GAUSSIAN, "logger=none"]
        restore += ["figures=false", f"output_root={tmp_path / 'out'}", "data.batch_size=3", *request]
        table = ["table", "figures=false", *(f"{name}={folder}" for name, folder in folders.items())]
        for words in (prepare, restore, table):
            status, out, err = alps(*words)
            assert status == 0, out + err
        (records,) = (tmp_path / "out").rglob("records.jsonl")
        return pd.read_csv(tmp_path / "table" / "volumes.csv"), RunFolder(records.parent), out

    return results


def of_fastmri(target, found):
    """Return the metrics of fastMRI's `evaluate.py`."""
    target, largest = target.astype(float), float(target.max())
    similar = [structural_similarity(a, b, data_range=largest) for a, b in zip(target, found, strict=True)]
    squared = np.linalg.norm(target - found) ** 2 / np.linalg.norm(target) ** 2
    return [peak_signal_noise_ratio(target, found, data_range=largest), np.mean(similar), squared]


def test_against_the_target_of_the_file(run, tmp_path):
    (tmp_path / "files").mkdir()
    target = write_volume(tmp_path / "files" / "knee.h5", coil_noise=(0.02,) * 4)
    sampler = ["sampler.schedule.steps=2", "num_samples=2", "save=samples"]
    table, folder, out = run("operator=retrospective_2x", "sampler=alps", *sampler)
    assert list(table["reference"]) == ["RSS"] * len(table) and list(table["status"]) == ["ok"] * len(table)
    assert "root sum of squares over the coils" in out and list(table["volumes"]) == [1] * len(table)
    slices = PreparedSlices(tmp_path / "prepared")
    weights = [item["target_weight"].numpy() for item in slices]
    images = [folder.load_result(image_id) for image_id in slices.image_ids]

    def numbers(estimates):
        found = [center(np.abs(x) * weight)[0] for x, weight in zip(estimates, weights, strict=True)]
        return of_fastmri(target, np.array(found) * target.max())

    each = [numbers([image.samples[s] for image in images]) for s in range(2)]
    assert not np.allclose(each[0], each[1])
    expected = {"mmse": numbers([image.estimates["mmse"] for image in images]), "sample": np.mean(each, axis=0)}
    for _, row in table.iterrows():
        assert list(row[["psnr", "ssim", "nmse"]]) == pytest.approx(expected[row["estimate"]], rel=1e-6)


@pytest.mark.parametrize("whiten", [True, False])
def test_an_image_is_made_comparable_by_the_coils_as_they_were_stored(tmp_path, whiten):
    target = write_volume(tmp_path / "a.h5")
    volume = prepared(tmp_path / "a.h5", noise="auto", whiten=whiten)
    found = center(np.abs(volume.image) * volume.target_weight[:, None])[:, 0]
    np.testing.assert_allclose(volume.target, target / target.max(), rtol=1e-6)
    assert np.abs(found - volume.target).max() < 0.06  # the maps are estimates


def test_a_single_coil_has_a_target_of_its_own(tmp_path):
    write_volume(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        one = file["kspace"][:, 0]
        del file["kspace"]
        file["kspace"] = one
        file["reconstruction_esc"] = np.abs(center(transform(one, "ifft2"))).astype(np.float32)
    volume = prepared(tmp_path / "a.h5", noise="auto", whiten=True)
    found = center(np.abs(volume.image) * volume.target_weight[:, None])[:, 0]
    np.testing.assert_allclose(found, volume.target, atol=1e-5)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda target: target[::-1], "is not the root sum of squares of this k-space"),
        (lambda target: np.ones((SLICES, 64, 64)), "has images of 64 x 64, which do not fit"),
        (lambda target: target[:2], "expected 3 real images"),
        (lambda target: target.astype(complex), "expected 3 real images"),
        (lambda target: target[..., :0], "is zero or not finite"),
        (lambda target: target * 0, "is zero or not finite"),
        (lambda target: np.where(target == target.max(), np.inf, target), "is zero or not finite"),
    ],
)
def test_a_target_that_is_not_of_the_images_is_left_aside_and_said(tmp_path, fault, said):
    target = write_volume(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["reconstruction_rss"]
        file["reconstruction_rss"] = fault(target)
    volume = prepared(tmp_path / "a.h5", noise="auto", whiten=True)
    assert volume.target is None
    (told,) = [remark for remark in volume.remarks if "reconstruction_rss" in remark]
    assert said in told and told.endswith(": metrics of volumes are those of the combined coils")


def test_without_a_target_the_combined_coils_are_it_and_missing_slices_are_counted(run, alps, tmp_path):
    (tmp_path / "files").mkdir()
    for name, noise in (("a", 0.005), ("b", 0.01)):  # two noise levels, and one row
        write_volume(tmp_path / "files" / f"{name}.h5", coil_noise=(noise,) * 4)
        with h5py.File(tmp_path / "files" / f"{name}.h5", "r+") as file:
            del file["reconstruction_rss"]
    table, folder, out = run("operator=retrospective_2x", "sampler=zero_filled")
    images = [folder.load_result(record.image_id) for record in folder.records()]
    truth, found = (
        np.array([center(np.abs(x))[0] for x in each])
        for each in ([i.truth for i in images], [i.estimates["point"] for i in images])
    )
    each = np.mean([of_fastmri(truth[:3], found[:3]), of_fastmri(truth[3:], found[3:])], axis=0)
    (row,) = table.to_dict("records")
    assert (row["reference"], row["volumes"], row["status"]) == ("combined coils", 2, "ok")
    assert re.fullmatch(r"0\.00\d+ to 0\.0\d+", row["noise_std"])
    (of_slices,) = pd.read_csv(tmp_path / "table" / "table.csv").to_dict("records")
    assert of_slices["images"] == 6 and of_slices["noise_std"] == row["noise_std"]
    assert [row[name] for name in ("psnr", "ssim", "nmse")] == pytest.approx(each, rel=1e-6)
    records = (folder.path / "records.jsonl").read_text().splitlines(keepends=True)
    (folder.path / "records.jsonl").write_text("".join(records[:-1]))
    status, out, err = alps("table", f"runs={folder.path}", f"output={tmp_path / 'table'}", "figures=false")
    assert status == 0, out + err
    text = (tmp_path / "table" / "volumes.md").read_text()
    assert "| incomplete [1] |" in text and text.endswith("\n1. b: 2 of 3 slices\n")
