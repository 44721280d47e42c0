"""LPIPS against a plain NumPy version of its definition, where its weights may come from, and what it refuses."""

import logging
import pickle

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from alps_exp.evaluation import lpips as module
from alps_exp.evaluation.lpips import CONVOLUTIONS, LPIPS, load_lpips, lpips_numbers


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for index, (inside, outside, size, _, _) in CONVOLUTIONS.items():
        width = (inside * size**2) ** -0.5
        weights[f"features.{index}.weight"] = width * torch.randn(outside, inside, size, size, generator=generator)
        weights[f"features.{index}.bias"] = 0.1 * torch.randn(outside, generator=generator)
    return weights


@pytest.fixture
def heads():
    generator = torch.Generator().manual_seed(1)
    sizes = [outside for _, outside, *_ in CONVOLUTIONS.values()]
    return {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1, generator=generator) for i, n in enumerate(sizes)}


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No weights in any usual place."""
    monkeypatch.setattr(module, "_usual_places", lambda: [tmp_path / "alexnet.pth", tmp_path / "alexnet.ckpt"])
    load_lpips.cache_clear()
    yield tmp_path
    load_lpips.cache_clear()


def numpy_features(x, weights):
    """Return AlexNet's five activations of an image (3, H, W), by scipy's correlation."""
    x = (x - np.reshape([-0.030, -0.088, -0.188], (3, 1, 1))) / np.reshape([0.458, 0.448, 0.450], (3, 1, 1))
    found = []
    for index, (_, _, _, stride, pad) in CONVOLUTIONS.items():
        if index in (3, 6):
            windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
            x = windows[:, ::2, ::2].max((-2, -1))
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        kernels = weights[f"features.{index}.weight"].double().numpy()
        x = np.stack([correlate(padded, kernel, mode="valid")[0, ::stride, ::stride] for kernel in kernels])
        x = np.maximum(x + weights[f"features.{index}.bias"].numpy()[:, None, None], 0)
        found.append(x / (np.sqrt((x**2).sum(0)) + 1e-10))
    return found


def test_it_is_the_definition(features, heads):
    generator = torch.Generator().manual_seed(2)
    estimate, truth = (torch.rand(3, 64, 64, generator=generator).double() * 2 - 1 for _ in range(2))
    pairs = zip(numpy_features(estimate.numpy(), features), numpy_features(truth.numpy(), features), strict=True)
    expected = sum(
        (heads[f"lin{i}.model.1.weight"].numpy().ravel() @ ((a - b) ** 2).mean((1, 2)))
        for i, (a, b) in enumerate(pairs)
    )
    assert LPIPS(features, heads)(estimate, truth).item() == pytest.approx(expected, rel=1e-5)


def test_every_image_has_its_own_number(features, heads):
    generator = torch.Generator().manual_seed(3)
    samples, truth = torch.rand(2, 4, 3, 40, 48, generator=generator) * 2 - 1, torch.zeros(4, 3, 40, 48)
    model = LPIPS(features, heads)
    numbers = lpips_numbers(model, samples, truth)["lpips"]
    assert numbers.shape == (2, 4) and numbers.dtype == torch.float64
    assert numbers[1, 2].item() == pytest.approx(model(samples[1, 2], truth[2]).item(), rel=1e-5)
    assert model(truth, truth).abs().max() == 0
    assert torch.equal(model(3 * samples, truth), model((3 * samples).clamp(-1, 1), truth))


@pytest.mark.parametrize("shape", [(1, 3, 30, 64), (1, 1, 64, 64)])
def test_images_it_is_not_made_for_get_no_number(features, heads, shape):
    assert lpips_numbers(LPIPS(features, heads), torch.zeros(shape), torch.zeros(shape)) == {}
    complex_images = torch.zeros(1, 3, 64, 64, dtype=torch.complex64)
    assert lpips_numbers(LPIPS(features, heads), complex_images, complex_images) == {}


def test_both_kinds_of_files_give_the_same(features, nowhere):
    torch.save(features | {"classifier.1.weight": torch.zeros(2)}, nowhere / "a.pth")
    names = [f"features.{index}" for index in CONVOLUTIONS]
    layers = {
        f"Conv_{i}": {
            "kernel": features[f"{name}.weight"].permute(2, 3, 1, 0).numpy(),
            "bias": features[f"{name}.bias"].numpy(),
        }
        for i, name in enumerate(names)
    }
    (nowhere / "b.ckpt").write_bytes(pickle.dumps({"AlexNet_0": layers}, protocol=3))
    x = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    one, other = (load_lpips(str(nowhere / name))(x, -x) for name in ("a.pth", "b.ckpt"))
    assert torch.equal(one, other) and one > 0
    (nowhere / "a.pth").rename(nowhere / "alexnet.pth")
    load_lpips.cache_clear()
    assert torch.equal(load_lpips()(x, -x), one)


def test_without_weights_there_is_one_note_and_no_number(nowhere, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_lpips() is None and load_lpips() is None
    assert [r.message for r in caplog.records if "no LPIPS: no weights of AlexNet" in r.message] == caplog.messages
    assert len(caplog.messages) == 1
    assert lpips_numbers(None, torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)) == {}


class _Runs:
    def __reduce__(self):
        return (print, ("this must not run",))


class _ObjectType:
    def __reduce__(self):
        return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)


class _Addresses:
    """An array whose bytes NumPy, told so by the state of its type, would take for the addresses of objects."""

    def __reduce__(self):
        return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (1, 1, 1, 1), _ObjectType(), False, bytes(8))


def test_an_array_of_addresses_is_no_array(nowhere):
    layers = {"Conv_0": {"kernel": _Addresses(), "bias": _Addresses()}}
    (nowhere / "e.ckpt").write_bytes(pickle.dumps({"AlexNet_0": layers}, protocol=3))
    with pytest.raises(ValueError, match="e.ckpt holds no weights of AlexNet's LPIPS: .*numbers of the type 'O8'"):
        load_lpips(str(nowhere / "e.ckpt"))


def test_wrong_files_are_refused(features, heads, nowhere, capsys):
    with pytest.raises(FileNotFoundError, match="no weights for LPIPS at /nowhere"):
        load_lpips("/nowhere")
    torch.save({"features.0.weight": torch.zeros(2)}, nowhere / "a.pth")
    (nowhere / "b.pth").write_bytes(b"no weights")
    (nowhere / "c.ckpt").write_bytes(pickle.dumps(_Runs()))
    (nowhere / "d.ckpt").write_bytes(pickle.dumps({"VGG_0": 1}))
    for name in ("a.pth", "b.pth", "c.ckpt", "d.ckpt"):
        with pytest.raises(ValueError, match="no weights of AlexNet's LPIPS"):
            load_lpips(str(nowhere / name))
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="no weights of AlexNet's LPIPS: 'lin4.model.1.weight'"):
        LPIPS(features, {k: v for k, v in heads.items() if k != "lin4.model.1.weight"})
