"""Uncertainty that radiologists ask for: of the magnitude, as intervals, and of the mean over a region."""

import numpy as np
import pandas as pd
import pytest
import torch

from alps_exp.evaluation import region_statistics
from alps_exp.runs import RunFolder

SIZE, SAMPLES = 12, 9
PRIOR = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", f".size={SIZE}")]
TINY = ["data=prior", *PRIOR, "logger=none", "figures=false", "operator=inpaint_random", "sampler.schedule.steps=2"]
TINY += ["data.test.count=2", f"num_samples={SAMPLES}", "save=samples"]
COMPLEX = ["energy.complex_valued=true", "teacher.complex_valued=true"]


@pytest.fixture
def masks(tmp_path):
    """Write a mask for all images, and one that differs between them."""
    corner, middle = np.zeros((2, SIZE, SIZE), bool)
    corner[:3, :4], middle[4:8, 4:8] = True, True
    np.save(tmp_path / "corner.npy", corner)
    np.savez(tmp_path / "lesion.npz", prior0000=middle, prior0001=corner)
    return {"corner": [corner, corner], "lesion": [middle, corner]}


def regions(tmp_path):
    return f"regions={{corner: {tmp_path / 'corner.npy'}, lesion: {tmp_path / 'lesion.npz'}}}"


@pytest.mark.parametrize("words", [[], COMPLEX], ids=["real", "complex"])
def test_records_and_results_have_what_the_samples_say(alps, masks, tmp_path, words):
    request = ["restore", *TINY, *words, "interval=0.8", regions(tmp_path), f"output_root={tmp_path / 'out'}"]
    status, out, err = alps(*request)
    assert status == 0, out + err
    (path,) = (tmp_path / "out").rglob("records.jsonl")
    run = RunFolder(path.parent)
    for index, image_id in enumerate(("prior0000", "prior0001")):
        result = run.load_result(image_id)
        shown = np.abs(result.samples) if words else result.samples
        # Nine samples: the smallest and the largest are the ends of an interval of 80 %.
        ends = np.stack([np.sort(shown, 0)[0], np.sort(shown, 0)[-1]])
        if words:
            np.testing.assert_allclose(result.magnitude_std, shown.std(0, ddof=1), rtol=1e-4)
            np.testing.assert_allclose(result.magnitude_interval, ends, rtol=1e-5)
            np.testing.assert_allclose(result.interval.imag[1], result.samples.imag.max(0), rtol=1e-5)
        else:
            np.testing.assert_allclose(result.interval, ends, rtol=1e-5)
            assert result.magnitude_std is None and result.magnitude_interval is None
        for name, of_images in masks.items():
            means = shown[..., of_images[index]].mean((1, 2))
            truth = (np.abs(result.truth) if words else result.truth)[..., of_images[index]].mean()
            found = result.record("mmse").regions[name]
            expected = [of_images[index].sum(), means.mean(), means.std(ddof=1), means.min(), means.max(), truth]
            assert list(found) == ["pixels", "mean", "std", "low", "high", "truth"]
            assert list(found.values()) == pytest.approx(expected, rel=1e-5)
            first = result.record("sample").regions[name]
            numbers = [expected[0], means[0], truth]
            assert first == {key: pytest.approx(v, rel=1e-5) for key, v in zip(first, numbers, strict=True)}
    status, out, err = alps("table", f"runs={tmp_path / 'out'}", f"output={tmp_path / 'table'}", "figures=false")
    assert status == 0, out + err
    table = pd.read_csv(tmp_path / "table" / "regions.csv")
    assert len(table) == 2 * 2 * (1 + SAMPLES)
    (mean,) = table.query("image_id == 'prior0001' and estimate == 'mmse' and region == 'lesion'")["mean"]
    assert mean == run.load_result("prior0001").record("mmse").regions["lesion"]["mean"]


def test_an_estimate_has_a_mean_and_no_spread(alps, masks, tmp_path):
    request = ["restore", *TINY, "interval=0.8", "sampler=map", regions(tmp_path), f"output_root={tmp_path / 'out'}"]
    status, out, err = alps(*[word for word in request if "schedule" not in word])
    assert status == 0, out + err
    (path,) = (tmp_path / "out").rglob("records.jsonl")
    assert {tuple(r.regions["lesion"]) for r in RunFolder(path.parent).records()} == {("pixels", "mean", "truth")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["interval=0.9"], "an interval of 0.9 needs num_samples=19, got 9"),
        (["regions.a=none.npy"], "regions has no keys: give regions=VALUE"),
        (["regions=5"], "regions is 5, expected settings {key: value} or null"),
        (["interval=1"], "interval must lie between 0 and 1"),
        (["regions={a: none.npy}"], "no such mask file: none.npy"),
        (["regions={a: FOLDER/large.npy}"], "has shape (13, 13)"),
        (["regions={a: FOLDER/empty.npy}"], "the region a is empty"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_restored(alps, tmp_path, words, said):
    np.save(tmp_path / "large.npy", np.ones((SIZE + 1, SIZE + 1)))
    np.save(tmp_path / "empty.npy", np.zeros((SIZE, SIZE)))
    words = [word.replace("FOLDER", str(tmp_path)) for word in words]
    status, _, err = alps("restore", *TINY, *words, f"output_root={tmp_path / 'out'}")
    assert status == 2 and said in err and not list(tmp_path.rglob("prior0000.h5"))


def test_the_interval_of_a_region_is_not_the_mean_of_the_intervals_of_its_pixels():
    """Pixels that differ from sample to sample, with a mean that does not."""
    noise = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    region = torch.ones(8, 8, dtype=torch.bool)
    found = region_statistics(2 + noise - noise.mean((1, 2, 3), keepdim=True), region, 0.6)
    assert found["std"] < 1e-6 and found["low"] == pytest.approx(2) == found["high"]
