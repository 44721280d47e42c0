"""The embedded face and FFHQ's crop."""

import numpy as np
import pytest
import torch

from alps_exp.datasets import Astronaut
from alps_exp.datasets.astronaut import ffhq_quad


def test_crop_of_an_upright_face_is_the_published_square():
    quad = ffhq_quad(np.array([[90.0, 100.0], [110.0, 100.0]]), np.array([[95.0, 120.0], [105.0, 120.0]]))
    half = max(2 * 20, 1.8 * 20)
    corners = [[-half, -half], [-half, half], [half, half], [half, -half]]
    np.testing.assert_allclose(quad, np.array([100, 102]) + corners)


def test_crop_turns_with_the_face():
    eyes, mouth = np.array([[90.0, 100.0], [110.0, 104.0]]), np.array([[92.0, 120.0], [103.0, 122.0]])
    angle = 0.3
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(ffhq_quad(eyes @ turn, mouth @ turn), ffhq_quad(eyes, mouth) @ turn)


@pytest.mark.parametrize("size", [32, 64])
def test_astronaut_is_one_image_in_range(size):
    pytest.importorskip("skimage", reason="needs the demo extra")
    data = Astronaut(size)
    item = data[0]
    assert len(data) == 1 and item["image_id"] == "astronaut"
    assert item["image"].shape == (3, size, size) and item["image"].dtype == torch.float32
    assert item["image"].min() >= -1 and item["image"].max() <= 1
    with pytest.raises(IndexError, match="got 1"):
        data[1]


def test_astronaut_has_its_eyes_where_ffhq_has():
    skimage = pytest.importorskip("skimage", reason="needs the demo extra")
    del skimage
    gray = Astronaut(64)[0]["image"].mean(0)
    # FFHQ's mean eyes lie at about 0.37 and 0.63 of the width, 0.48 of the height.
    for column in (24, 40):
        window = gray[26:36, column - 4 : column + 5]
        darkest = np.unravel_index(int(window.argmin()), window.shape)
        assert abs(darkest[0] + 26 - 30.5) <= 2 and abs(darkest[1] - 4) <= 2
