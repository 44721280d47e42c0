"""Masks: exact counts, sampled centers, and independence from the batch."""

import numpy as np
import pytest
import torch
from PIL import Image

from alps_exp.masks import BoxMask, CartesianMask1D, CartesianMask2D, FileMask, MaskProduct, RandomMask

EVERY_MASK = [
    RandomMask(0.8),
    RandomMask([0.3, 0.9]),
    BoxMask(5, "random"),
    BoxMask([3, 9], "random", margin=2, inverted=True),
    MaskProduct([BoxMask(5, "random"), RandomMask(0.5)]),
    CartesianMask1D(4),
    CartesianMask1D(4, kind="equispaced"),
    CartesianMask2D(4),
]


def batch(*image_ids, height=20, width=26):
    return {"image": torch.zeros(len(image_ids), 3, height, width), "image_id": list(image_ids)}


@pytest.mark.parametrize("mask", EVERY_MASK)
def test_mask_is_keyed_by_image_id_and_seed_alone(mask):
    alone, together = mask(batch("b")), mask(batch("a", "b", "c", "b"))
    assert together.shape == (4, 1, 20, 26)
    assert together.dtype == torch.float32
    assert set(together.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(together[1], alone[0]) and torch.equal(together[3], alone[0])
    many = mask(batch(*map(str, range(20))))
    assert len({tuple(m.flatten().tolist()) for m in many}) > 3
    again = type(mask)(**{k: v for k, v in vars(mask).items() if k != "seed"}, seed=1)
    assert not torch.equal(again(batch(*map(str, range(20)))), many)


@pytest.mark.parametrize("fraction", [0, 0.333, 0.8, 0.99, 1])
def test_random_mask_drops_the_exact_number(fraction):
    masks = RandomMask(fraction)(batch("a", "b"))
    assert torch.all((masks == 0).sum((1, 2, 3)) == round(fraction * 520))


def test_random_mask_is_uniform():
    frequency = RandomMask(0.5)(batch(*map(str, range(400)))).mean(0)
    assert frequency.min() > 0.5 - 5 * 0.025 and frequency.max() < 0.5 + 5 * 0.025


def test_random_rate_is_uniform_over_its_range():
    rates = 1 - RandomMask([0.3, 0.9])(batch(*map(str, range(400)))).mean((1, 2, 3))
    assert 0.3 <= rates.min() < 0.31 and 0.89 < rates.max() <= 0.9
    assert abs(rates.mean() - 0.6) < 5 * 0.6 / 12**0.5 / 20


def test_centered_box():
    mask = BoxMask(4)(batch("a", height=8, width=10))[0, 0]
    expected = torch.ones(8, 10)
    expected[2:6, 3:7] = 0
    assert torch.equal(mask, expected)


def test_random_box_is_a_whole_square_and_reaches_every_border():
    dropped = BoxMask(3, "random")(batch(*map(str, range(300)), height=6, width=5)) == 0
    assert torch.all(dropped.sum((1, 2, 3)) == 9)
    assert torch.all(dropped.any(2).sum(2) == 3) and torch.all(dropped.any(3).sum(2) == 3)
    assert dropped[:, 0, 0].any() and dropped[:, 0, -1].any()
    assert dropped[:, 0, :, 0].any() and dropped[:, 0, :, -1].any()


def test_box_takes_every_size_and_place_within_range_and_margin():
    dropped = BoxMask([2, 4], "random", margin=1)(batch(*map(str, range(2000)), height=8, width=7))[:, 0] == 0
    heights, widths = dropped.any(2).sum(1), dropped.any(1).sum(1)
    assert torch.equal(dropped.sum((1, 2)), heights * widths)
    found = {(int(h), int(w), *m.nonzero()[0].tolist()) for h, w, m in zip(heights, widths, dropped, strict=True)}
    sizes = [2, 3, 4]
    expected = {(h, w, i, j) for h in sizes for w in sizes for i in range(1, 8 - h) for j in range(1, 7 - w)}
    assert found == expected


def test_inverted_box_is_what_the_box_drops():
    ids = batch("a", "b", "c")
    assert torch.equal(BoxMask([3, 9], "random", inverted=True)(ids), 1 - BoxMask([3, 9], "random")(ids))


def test_product_measures_what_both_measure():
    ids = batch(*map(str, range(50)))
    both = MaskProduct([BoxMask(10), RandomMask(0.5)])(ids)
    assert torch.all(both[..., 5:15, 8:18] == 0)
    # Of 520 pixels, 260 are kept at random and 420 are outside the box: 210 on average, standard deviation 5.
    assert abs(float(both.sum((1, 2, 3)).mean()) - 210) < 5 * 5 / 50**0.5


def test_one_mask_of_a_file_serves_all_images(tmp_path):
    mask = (np.arange(520).reshape(20, 26) % 3 == 0).astype(np.uint8)
    np.save(tmp_path / "mask.npy", mask)
    np.savez(tmp_path / "mask.npz", any_name=mask.astype(bool))
    Image.fromarray(255 * mask).save(tmp_path / "mask.png")
    for suffix in ("npy", "npz", "png"):
        masks = FileMask(str(tmp_path / f"mask.{suffix}"))(batch("a", "b"))
        assert masks.dtype == torch.float32 and masks.shape == (2, 1, 20, 26)
        assert torch.equal(masks, torch.from_numpy(mask).float().expand(2, 1, 20, 26))


def test_masks_of_a_file_go_by_image_id(tmp_path):
    np.savez(tmp_path / "masks.npz", a=np.zeros((20, 26)), b=np.ones((20, 26)))
    masks = FileMask(str(tmp_path / "masks.npz"))
    assert masks(batch("b", "a", "b")).mean((1, 2, 3)).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="masks.npz.* 2 .* c"):
        masks(batch("a", "c"))


@pytest.mark.parametrize(
    "stored",
    [
        lambda mask: mask[None, None],
        lambda mask: mask[:1, :, None, None].swapaxes(0, 2),  # fastMRI's (1, W, 1), of lines
        lambda mask: 255 * mask,
        lambda mask: mask.astype(complex),
    ],
    ids=["axes of one", "lines", "bytes", "complex"],
)
def test_masks_of_a_file_come_in_other_layouts(tmp_path, stored):
    mask = np.tile((np.arange(6) % 3 > 0).astype(np.uint8), (8, 1))
    np.save(tmp_path / "mask.npy", stored(mask))
    found = FileMask(tmp_path / "mask.npy")({"image": torch.zeros(2, 1, 8, 6), "image_id": ["a", "b"]})
    assert torch.equal(found, torch.from_numpy(mask).float().expand(2, 1, 8, 6))


def test_bad_files_of_masks(tmp_path):
    path = tmp_path / "mask.npy"
    with pytest.raises(FileNotFoundError, match="mask.npy"):
        FileMask(str(path))(batch("a"))
    for array, message in (
        (np.ones((20, 25)), r"mask.npy.*\(20, 25\).*\(20, 26\)"),
        (np.full((20, 26), 0.5), "0 and 1"),
        (np.array([None]), "mask.npy"),
    ):
        np.save(path, array)
        with pytest.raises(ValueError, match=message):
            FileMask(str(path))(batch("a"))
    (tmp_path / "gray.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="gray.png"):
        FileMask(str(tmp_path / "gray.png"))(batch("a"))


@pytest.mark.parametrize("kind", ["random", "equispaced"])
@pytest.mark.parametrize(("width", "acceleration"), [(64, 4), (64, 8), (180, 5.5), (33, 1), (26, 26 / 3)])
def test_columns_are_exact_with_a_sampled_center(kind, width, acceleration):
    masks = CartesianMask1D(acceleration, 0.08, kind)(batch("a", "b", "c", width=width))
    assert torch.equal(masks, masks[:, :, :1].expand_as(masks))
    assert torch.all(masks[:, 0, 0].sum(1) == round(width / acceleration))
    num_center = round(0.08 * width)
    start = width // 2 - num_center // 2
    assert torch.all(masks[..., start : start + num_center] == 1)


def test_equispaced_columns_have_even_gaps():
    columns = CartesianMask1D(8, 0, "equispaced")(batch("a", "b", width=64))[:, 0, 0]
    for column in columns:
        assert torch.all(column.nonzero().flatten().diff() == 8)


@pytest.mark.parametrize("acceleration", [1, 2.5, 4, 12])
def test_points_are_exact_with_a_sampled_center(acceleration):
    masks = CartesianMask2D(acceleration, 0.2)(batch("a", "b", height=20, width=25))
    assert torch.all(masks.sum((1, 2, 3)) == round(500 / acceleration))
    assert torch.all(masks[:, 0, 8:12, 10:15] == 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomMask(1.1), r"\[0, 1\].* 1.1"),
        (lambda: BoxMask(0), "1 pixel.* 0"),
        (lambda: RandomMask([0.9, 0.8]), r"\[0, 1\].*\[0.9, 0.8\]"),
        (lambda: RandomMask([0.1, 0.2, 0.3]), r"\(low, high\).*\[0.1, 0.2, 0.3\]"),
        (lambda: BoxMask([4, 3]), r"1 pixel.*\[4, 3\]"),
        (lambda: BoxMask(4, margin=-1), "margin.* 0 pixels.* -1"),
        (lambda: BoxMask(18, margin=2)(batch("a")), "18 x 18.*margin.* 2.*20 x 26"),
        (lambda: MaskProduct([]), "at least one"),
        (lambda: BoxMask(2, "left"), "center.*random.*'left'"),
        (lambda: BoxMask(21)(batch("a")), "21 x 21.*20 x 26"),
        (lambda: CartesianMask1D(0.5), "acceleration.* 1.* 0.5"),
        (lambda: CartesianMask1D(4, 1.5), r"center_fraction.*\[0, 1\].* 1.5"),
        (lambda: CartesianMask1D(4, kind="radial"), "random.*equispaced.*'radial'"),
        (lambda: CartesianMask1D(13, 0.2)(batch("a")), "13 .* 2 .* 5 .*0.2"),
        (lambda: CartesianMask2D(2000, 0)(batch("a")), "2000 .* 0 .* 1 "),
        (lambda: CartesianMask2D(50, 0.2)(batch("a")), "50 .* 10 .* 20 .*0.2"),
    ],
)
def test_bad_masks(make, message):
    with pytest.raises(ValueError, match=message):
        make()
