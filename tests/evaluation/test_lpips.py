"""LPIPS against a plain NumPy version of its definition and torchmetrics' own, and where its weights come from."""

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
    """No weights in PyTorch's hub folder, which this returns."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    load_lpips.cache_clear()
    yield tmp_path / "checkpoints"
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


def test_its_layers_are_those_of_alexnet(heads):
    """Names, shapes and sizes as torchvision has them: 64 pixels become 15, pooled 7, pooled 3."""
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    weights = {f"features.{index}.weight": torch.zeros(shape) for index, shape in shapes.items()}
    weights |= {f"features.{index}.bias": torch.zeros(shape[0]) for index, shape in shapes.items()}
    found = LPIPS(weights, heads)._features(torch.zeros(1, 3, 64, 64))
    assert [tuple(each.shape[1:]) for each in found] == [
        (64, 15, 15),
        (192, 7, 7),
        (384, 3, 3),
        (256, 3, 3),
        (256, 3, 3),
    ]


def test_it_is_the_definition(features, heads):
    generator = torch.Generator().manual_seed(2)
    estimate, truth = (torch.rand(3, 64, 64, generator=generator).double() * 2 - 1 for _ in range(2))
    pairs = zip(numpy_features(estimate.numpy(), features), numpy_features(truth.numpy(), features), strict=True)
    expected = sum(
        (heads[f"lin{i}.model.1.weight"].numpy().ravel() @ ((a - b) ** 2).mean((1, 2)))
        for i, (a, b) in enumerate(pairs)
    )
    assert LPIPS(features, heads)(estimate, truth).item() == pytest.approx(expected, rel=1e-5)


def test_it_is_torchmetrics_own_where_torchvision_works(features):
    try:
        from torchvision.models import alexnet  # noqa: F401
    except Exception as error:
        pytest.skip(f"torchmetrics' LPIPS needs torchvision: {error}")
    from torchmetrics.functional.image.lpips import _LPIPS

    theirs = _LPIPS(net="alex", pnet_rand=True)  # with trained heads, on a random network
    for layers in theirs.net.children():
        names = {name: f"features.{name}" for name, _ in layers.named_parameters()}
        layers.load_state_dict({name: features[full] for name, full in names.items()})
    ours = LPIPS(features, module._read(module._heads_file()))
    generator = torch.Generator().manual_seed(4)
    truth = torch.rand(3, 3, 64, 80, generator=generator) * 2 - 1
    estimate = (truth + 0.2 * torch.randn(truth.shape, generator=generator)).clamp(-1, 1)
    assert torch.allclose(ours(estimate, truth), theirs(estimate, truth).flatten(), rtol=1e-5)


def test_with_trained_weights_a_stronger_blur_is_further_from_the_truth():
    load_lpips.cache_clear()
    model = load_lpips()
    load_lpips.cache_clear()
    if model is None:
        pytest.skip("torchvision's weights of AlexNet are not in PyTorch's hub folder")
    generator = torch.Generator().manual_seed(5)
    truth = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    blurred = [torch.nn.functional.avg_pool2d(truth, size, 1, size // 2) for size in (1, 3, 5, 9)]
    distances = [model(image, truth).item() for image in blurred]
    assert distances[0] == 0 and distances == sorted(distances) and distances[-1] > 0.1


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


def test_weights_come_from_a_file_or_the_hub_folder(features, nowhere):
    torch.save(features | {"classifier.1.weight": torch.zeros(2)}, nowhere / "a.pth")
    x = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    distance = load_lpips(str(nowhere / "a.pth"))(x, -x)
    assert distance > 0
    (nowhere / "a.pth").rename(nowhere / module.HUB_FILE)
    load_lpips.cache_clear()
    assert torch.equal(load_lpips()(x, -x), distance)


def test_without_weights_there_is_one_note_and_no_number(nowhere, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_lpips() is None and load_lpips() is None
    (message,) = caplog.messages
    assert str(nowhere / module.HUB_FILE) in message and "torchvision's weights of AlexNet as lpips=FILE" in message
    assert lpips_numbers(None, torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)) == {}


def test_heads_that_torchmetrics_lacks_are_what_the_note_names(features, nowhere, monkeypatch, caplog):
    torch.save(features, nowhere / module.HUB_FILE)
    monkeypatch.setattr(module, "_heads_file", lambda: nowhere / "alex.pth")
    assert load_lpips() is None
    (message,) = caplog.messages
    assert f"this torchmetrics lacks its heads, {nowhere / 'alex.pth'}" in message and module.HUB_FILE not in message


class _Runs:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_wrong_files_are_refused(features, heads, nowhere, capsys):
    with pytest.raises(FileNotFoundError, match="no weights for LPIPS at /nowhere"):
        load_lpips("/nowhere")
    torch.save({"features.0.weight": torch.zeros(2)}, nowhere / "a.pth")
    (nowhere / "b.pth").write_bytes(b"no weights")
    (nowhere / "c.ckpt").write_bytes(pickle.dumps(_Runs()))
    (nowhere / "d.ckpt").write_bytes(pickle.dumps({"AlexNet_0": {"Conv_0": np.zeros(2)}}))
    torch.save(torch.zeros(2), nowhere / "e.pth")
    (nowhere / "f.pth").write_bytes(b"")
    for name in ("a.pth", "b.pth", "c.ckpt", "d.ckpt", "e.pth", "f.pth"):
        with pytest.raises(ValueError, match="no weights of AlexNet's LPIPS"):
            load_lpips(str(nowhere / name))
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="no weights of AlexNet's LPIPS: 'lin4.model.1.weight'"):
        LPIPS(features, {k: v for k, v in heads.items() if k != "lin4.model.1.weight"})
