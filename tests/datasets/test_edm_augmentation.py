"""EDM's augmentation: each transformation against a closed form, its labels, and keys."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from alps_exp.datasets import Augmented
from alps_exp.datasets.edm_augmentation import Transformation
from alps_exp.lightning import StepKeyedBatchSampler

SIZE = 32
MIDDLE = (SIZE - 1) / 2


class Noise:
    """Images of noise, which every transformation changes."""

    channels = 3
    index = ["a", "b", "c"]

    def __len__(self):
        return 3

    def __getitem__(self, item):
        index = item[0] if isinstance(item, tuple) else item
        image = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(index)) * 2 - 1
        return {"image": image, "image_id": self.index[index]}


def bump(right, up):
    """Return a smooth picture without symmetry at places in pixels from the middle."""
    return np.exp(-((right - 3) ** 2) / 40 - (up - 2) ** 2 / 25) - 0.5 * np.exp(-((right + 4) ** 2 + up**2) / 30)


def picture(move=None):
    """Return the picture (1, n, n), or the one whose content stands where `move`, a matrix on (right, up), puts it."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(float)
    places = np.stack([columns - MIDDLE, MIDDLE - rows])
    right, up = places if move is None else np.tensordot(np.linalg.inv(move), places, 1)
    return bump(right, up)[None].astype(np.float32)


def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize(
    ("given", "move"),
    [
        ({"scale": 1.5}, np.eye(2) * 2**0.3),
        ({"scale": -1.0}, np.eye(2) * 2**-0.2),
        ({"rotation": 0.7}, turn(0.7)),
        ({"stretch": 1.0}, np.diag([2**0.2, 2**-0.2])),
        ({"stretch": -1.5, "direction": np.pi / 2}, np.diag([2**0.3, 2**-0.3])),
        ({"stretch": 1.0, "direction": 0.5}, turn(0.5) @ np.diag([2**0.2, 2**-0.2]) @ turn(-0.5)),
        ({"mirror": True, "rotation": 0.4}, turn(0.4) @ np.diag([-1, 1])),
        (
            {"flip": True, "scale": 0.5, "rotation": -2.0, "stretch": 1.0, "direction": 1.0},
            turn(1.0) @ np.diag([2**0.2, 2**-0.2]) @ turn(-1.0) @ turn(-2.0) * 2**0.1 @ np.diag([1, -1]),
        ),
    ],
)
def test_content_moves_as_the_matrix_says(given, move):
    moved = Transformation(**given)(picture())
    assert moved.dtype == np.float32
    inside = np.s_[:, 6:-6, 6:-6]  # beyond, the image is reflected
    assert np.abs(moved - picture(move))[inside].max() < 3e-3
    assert np.abs(picture() - picture(move))[inside].max() > 0.1


def test_whole_pixels_are_moved_flipped_and_turned_exactly():
    image = Noise()[0]["image"].numpy()
    assert np.array_equal(Transformation(mirror=True)(image), image[:, :, ::-1])
    assert np.array_equal(Transformation(flip=True)(image), image[:, ::-1])
    assert np.allclose(Transformation(rotation=np.pi / 2)(image), np.rot90(image, axes=(1, 2)), atol=1e-4)
    moved = Transformation(right=1.0, down=-0.5)(image)  # 4 pixels and 2, of 32
    assert np.allclose(moved[:, :-2, 4:], image[:, 2:, :-4], atol=1e-4)
    assert np.allclose(moved[:, :-2, :4], image[:, 2:, 4:0:-1], atol=1e-4)  # reflected at the border


def test_labels_say_what_was_done():
    done = Transformation(True, True, 0.5, 1.0, 2.0, 3.0, 0.25, -0.75)
    turned, stretched = [np.cos(1) - 1, np.sin(1)], [2 * np.cos(3), 2 * np.sin(3)]
    np.testing.assert_allclose(done.labels, [1, 1, 0.5, *turned, *stretched, 0.25, -0.75], rtol=1e-6)
    assert done.labels.dtype == np.float32 and not Transformation().labels.any()


def test_labels_are_zero_exactly_where_the_image_is_as_it_was():
    data, noise = Augmented(Noise(), 0.1), Noise()
    items = [(data[index, key], noise[index]) for index in range(3) for key in range(200)]
    unchanged = [torch.equal(item["image"], clean["image"]) for item, clean in items]
    assert unchanged == [not item["augment"].any() for item, _ in items]
    assert 0.2 < np.mean(unchanged) < 0.4  # 0.5 * 0.95 * 0.9^4 = 0.31
    assert all(item["image"].abs().max() <= 1 and item["image"].shape == (3, SIZE, SIZE) for item, _ in items)
    assert all(torch.equal(data[i]["image"], noise[i]["image"]) and not data[i]["augment"].any() for i in range(3))


def test_each_kind_comes_as_often_as_it_is_to():
    drawn = np.stack([Transformation.draw(np.random.default_rng(key), 0.2).labels for key in range(4000)])
    expected = [0.5, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]
    np.testing.assert_allclose((drawn != 0).mean(0), expected, atol=0.025)
    assert np.array_equal(drawn[:, 7] != 0, drawn[:, 8] != 0)
    for normal in (drawn[:, 2], drawn[:, 7], drawn[:, 8], np.hypot(drawn[:, 5], drawn[:, 6])):
        assert np.square(normal[normal != 0]).mean() == pytest.approx(1, abs=0.15)
    angles = np.arctan2(drawn[:, 4], drawn[:, 3] + 1)
    assert np.abs(np.cos(angles[angles != 0]).mean()) < 0.1


def test_items_are_functions_of_the_key_in_every_worker():
    data = Augmented(Noise(), 0.5)
    sampler = [StepKeyedBatchSampler(3, 4, seed=1).batch(step) for step in range(6)]
    alone, shared = (list(DataLoader(data, batch_sampler=sampler, num_workers=workers)) for workers in (0, 2))
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["augment"], other["augment"])
    assert len({float(label[2]) for batch in alone for label in batch["augment"]}) > 5


def test_bad_requests():
    with pytest.raises(ValueError, match=r"probability.*\[0, 1\].* 2"):
        Augmented(Noise(), 2)

    class Complex(Noise):
        def __getitem__(self, item):
            return {"image": torch.zeros(1, 4, 4, dtype=torch.complex64)}

    with pytest.raises(ValueError, match="complex"):
        Augmented(Complex())[0, 0]
