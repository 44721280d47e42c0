"""`alps export` as it is typed: from a k-space file to NIfTI in its units, and one clear line for what it cannot do."""

import h5py
import nibabel
import numpy as np
import pytest

from alps_exp.cli.words import export_words
from alps_exp.mri.fourier import to_image
from alps_exp.mri.prepared_volume import PreparedVolumeFile
from alps_exp.runs import RunFolder

GAUSSIAN = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".complex_valued=true")]
KSPACE = ["restore", "data=kspace", *GAUSSIAN, "logger=none", "figures=false"]
HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>32</x><y>16</y><z>1</z></matrixSize>
<fieldOfView_mm><x>64</x><y>24</y><z>4</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>32</x><y>16</y><z>1</z></matrixSize></reconSpace></encoding></ismrmrdHeader>"""
NOISE = 1e-6


def write_kspace(path, slices, columns):
    """Write k-space of an object under four coils, in small units as those of scanners, and return it."""
    rows, columns = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, columns), indexing="ij")
    coils = [np.exp(-((rows - a) ** 2 + (columns - b) ** 2) / 2) for a in (-1, 1) for b in (-1, 1)]
    images = 1e-4 * (rows**2 + columns**2 < 0.5) * np.array(coils) * np.linspace(1, 0.7, slices)[:, None, None, None]
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, (-2, -1)), norm="ortho"), (-2, -1))
    kspace = kspace + NOISE * np.random.default_rng(0).standard_normal((*kspace.shape, 2)) @ np.array([1, 1j])
    with h5py.File(path, "w") as file:
        file["kspace"], file["ismrmrd_header"] = kspace.astype(np.complex64), HEADER
    return kspace.astype(np.complex64)


@pytest.fixture
def prepared(request, alps, tmp_path, monkeypatch):
    """Prepare two volumes, of 16 columns unless the test says otherwise; return their k-space."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    columns, slices = getattr(request, "param", 16), {"a": 3, "b": 1}
    kspace = {name: write_kspace(tmp_path / "files" / f"{name}.h5", slices[name], columns) for name in slices}
    maps = ["maps.calibration_width=12", "maps.kernel_width=4", "maps.max_iterations=30"]
    status, _, err = alps("prepare", "source=files", "output=prepared", *maps, f"noise={NOISE}", "num_workers=1")
    assert status == 0, err
    return kspace


def run_of(alps, *request):
    status, out, err = alps(*request)
    assert status == 0, out + err
    (done,) = RunFolder("outputs").path.rglob("DONE")
    return done.parent


def read(path):
    return np.asarray(nibabel.load(path).dataobj)


def test_a_reconstruction_of_whole_k_space_has_the_values_of_its_file(alps, prepared):
    request = [*KSPACE, "data.test.path=prepared", "operator=measured", "sampler=zero_filled", "data.batch_size=2"]
    run = run_of(alps, *request)  # the second batch has slices of both volumes
    status, out, err = alps("export", str(run), "format=nii,npz")
    assert status == 0, err
    assert "units: those of the source: root sum of squares over its coils" in out
    assert "voxels of 2 x 1.5 x 4 mm" in out and "orientation and position are not known" in out
    assert "no standard deviation, which needs at least 2 samples" in out
    for name, kspace in prepared.items():
        image = nibabel.load(run / f"export/{name}.point_magnitude.nii")
        assert image.shape == (32, 16, len(kspace)) and image.header.get_zooms() == (2, 1.5, 4)
        prepared_file = PreparedVolumeFile(run.parents[3] / f"prepared/volumes/{name}.h5")
        for number, one in enumerate(kspace):
            maps = prepared_file.read("sensitivity_maps", number)
            # With the same noise in all coils, whitened coils are the stored ones but for a factor.
            combined = (maps.conj() * to_image(one)).sum(0)
            expected = np.linalg.norm(maps * combined, axis=0)
            found = np.asarray(image.dataobj)[..., number]
            assert np.abs(found - expected).max() < 1e-6 * expected.max()
            rss = np.linalg.norm(to_image(one), axis=0)
            assert np.abs(found - rss)[rss > 0.5 * rss.max()].max() < 0.05 * rss.max()
        with np.load(run / f"export/{name}_000.npz") as arrays:
            assert (arrays["volume"], arrays["slice"], arrays["voxel_size"].tolist()) == (name, 0, [2, 1.5, 4])


@pytest.mark.parametrize("prepared", [32], indirect=True)
def test_samples_of_undersampled_k_space_have_their_spread_in_the_units_of_the_file(alps, prepared):
    request = [*KSPACE, "data.test.path=prepared", "operator=retrospective_2x", "sampler=alps", "save=samples"]
    request += ["energy.size=32", "teacher.size=32", "num_samples=3", "sampler.schedule.steps=3"]
    run = run_of(alps, *request)
    assert alps("export", str(run), "format=nii,png,tiff", "output=out")[0] == 0
    samples = read("out/a.samples.nii")
    assert samples.shape == (32, 32, 3, 3) and 1e-5 < np.abs(samples).max() < 1e-2
    mean, std = read("out/a.mmse.nii"), read("out/a.std.nii")
    np.testing.assert_allclose(mean, samples.mean(-1), atol=1e-6 * np.abs(mean).max())
    np.testing.assert_allclose(std, samples.std(-1, ddof=1), rtol=1e-4, atol=1e-6 * std.max())
    spread = np.abs(samples).std(-1, ddof=1)
    np.testing.assert_allclose(read("out/a.magnitude_std.nii"), spread, rtol=1e-4, atol=1e-6 * std.max())
    assert (spread < std * (1 + 1e-4)).all()
    result = RunFolder(run).load_result("a_001")
    np.testing.assert_allclose(std[..., 1], result.std[0] * result.source.scale[0], rtol=1e-6)


def test_a_run_that_is_not_done_is_exported_as_far_as_it_is(alps, prepared):
    run = run_of(alps, *KSPACE, "data.test.path=prepared", "operator=measured", "sampler=zero_filled")
    for name in ("DONE", "records.jsonl", "images/a_001.h5"):
        (run / name).unlink()
    status, out, err = alps("export", str(run), "format=nii")
    assert status == 1 and "is not done: 3 of 4 images" in out
    assert err == "missing: slices 1 of a\n"
    magnitude = read(run / "export/a.point_magnitude.nii")
    assert np.isnan(magnitude[..., 1]).all() and np.isfinite(magnitude[..., [0, 2]]).all()


def test_words_become_settings():
    for words, expected in {
        "a/b format=png,npz": "run='a/b' format=[png,npz]",
        "format=png a/b": "format=png run='a/b'",
        "run=a format=[png,npz]": "run=a format=[png,npz]",
        "-m run=a,b format=png,npz": "-m run=a,b format=png,npz",
        "--config-dir x a": "--config-dir x run='a'",
    }.items():
        assert export_words(words.split()) == expected.split()
    assert export_words(["it's (a), b"]) == [r"run='it\'s (a), b'"]


def test_a_folder_with_an_equals_sign_is_a_run(alps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed=3,b").mkdir()
    status, _, err = alps("export", "seed=3,b")
    assert status == 2 and err == "alps: seed=3,b is not the folder of a run\n"


def test_one_clear_line_says_what_is_wrong(alps, prepared, tmp_path):
    run = run_of(alps, *KSPACE, "data.test.path=prepared", "operator=measured", "sampler=zero_filled")
    before = sorted(run.rglob("*"))
    (tmp_path / "empty").mkdir()
    for words, message in {
        (): "no run is given",
        ("nowhere",): "no folder nowhere, expected that of a run",
        ("empty",): "empty is not the folder of a run",
        ("prepared",): "prepared is a run of `alps prepare`, which restores no images",
        ("outputs",): f"outputs is not the folder of a run: export one of the 1 below it, as outputs/{'restore'}",
        (str(run), "format=jpg"): "format is 'jpg': expected one of nii, npz, png, tiff",
        (str(run), "format=nifti"): "did you mean nii?",
        (str(run), "format=[]"): "format is none: expected one of",
        (str(run), "output=files"): "files is there already, and is no export of this run",
        (str(run), str(run)): "is no setting",
    }.items():
        status, out, err = alps("export", *words)
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err, (words, err)
    assert sorted(run.rglob("*")) == before and not list(tmp_path.glob("*.log"))
    status, out, _ = alps("export", str(run), "dry_run=true")
    assert (status, out) == (0, f"[1/1] {run}: done\n") and sorted(run.rglob("*")) == before


def test_a_calibration_is_exported_and_a_run_without_images_explained(alps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["energy=gaussian", "teacher=gaussian", "num_samples=2", "count=1", "sampler.schedule.steps=2"]
    run = run_of(alps, "calibrate", *small, "logger=none", "figures=false", "trainer.accelerator=cpu")
    status, out, err = alps("export", str(run), "format=png,tiff,nii,npz")
    assert status == 0 and "units: 0 is black, 1 is white" in out, err
    (mean,) = (run / "export").glob("*.mmse.nii")
    result = RunFolder(run).load_result(mean.name.removesuffix(".mmse.nii"))
    np.testing.assert_allclose(read(mean)[..., 0], (result.estimates["mmse"][0] + 1) / 2, atol=1e-7)
    for name in ("DONE", "records.jsonl", *(f"images/{path.name}" for path in (run / "images").iterdir())):
        (run / name).unlink()
    status, _, err = alps("export", str(run))
    assert status == 2 and "has no restored image yet (0 of 1 images): run the same command again" in err
