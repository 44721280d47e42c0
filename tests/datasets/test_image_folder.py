"""Image folders and zip archives: pixels, crops, ids, keys and the messages for bad input."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from alps_exp.datasets import ImageFolder
from alps_exp.datasets.batches import WithUnreadable
from alps_exp.datasets.image_folder import to_tensor
from alps_exp.errors import ImageError
from alps_exp.files import file_hash


def write_image(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def ramp():
    """8 x 6 pixels (rows, columns) that differ in every channel."""
    return np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)


@pytest.fixture
def folder(tmp_path, ramp):
    for number in range(5):
        write_image(tmp_path / "faces" / f"{number:03d}.png", ramp + number)
    return tmp_path / "faces"


def as_zip(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*"), reverse=True):
            archive.write(file, file.relative_to(folder))
    return path


def test_center_square_is_the_default(folder, ramp):
    item = ImageFolder(str(folder), size=6)[0]
    expected = ramp[1:7].transpose(2, 0, 1) / 127.5 - 1
    assert item["image"].dtype == torch.float32
    np.testing.assert_allclose(item["image"].numpy(), expected, atol=1e-6)
    assert item["image_id"] == "000"


def test_range_is_minus_one_to_one(tmp_path):
    write_image(tmp_path / "0.png", np.zeros((2, 2, 3), np.uint8))
    write_image(tmp_path / "1.png", np.full((2, 2, 3), 255, np.uint8))
    images = ImageFolder(str(tmp_path), size=2)
    assert torch.all(images[0]["image"] == -1)
    assert torch.all(images[1]["image"] == 1)


def test_box_filter_averages_and_crop_takes_fractions(folder, ramp):
    item = ImageFolder(str(folder), size=2, crop=(1, 2, 5, 6), filter="box")[0]
    blocks = ramp[2:6, 1:5].reshape(2, 2, 2, 2, 3).mean((1, 3))
    np.testing.assert_allclose((item["image"].numpy() + 1) * 127.5, blocks.transpose(2, 0, 1), atol=0.51)
    # Half a pixel further right, a symmetric filter on a ramp gives the mean of the two neighbors.
    between = ImageFolder(str(folder), size=1, crop=(2.5, 4, 3.5, 5))[0]["image"]
    np.testing.assert_allclose((between[:, 0, 0].numpy() + 1) * 127.5, ramp[4, 2:4].mean(0), atol=0.51)


def test_an_archive_in_an_archive_is_named(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(as_zip(folder), "inner.zip")
    with pytest.raises(ValueError, match=r"no PNG, JPEG or WebP image in .*outer.zip, but inner.zip: unpack that"):
        ImageFolder(str(tmp_path / "outer.zip"), size=6).files  # noqa: B018


def test_a_crop_for_pictures_of_one_size_is_not_taken_from_others(tmp_path, ramp):
    """CelebA's crop fits into the pictures of CelebA-HQ, and would be a corner of them."""
    write_image(tmp_path / "hq" / "0.png", ramp)
    crop = {"size": 2, "crop": (0, 0, 2, 2)}
    np.testing.assert_array_equal(ImageFolder(str(tmp_path / "hq"), **crop, crop_of=(6, 8))[0]["image"][0, 0, 0], -1)
    images = ImageFolder(str(tmp_path / "hq"), **crop, crop_of=(8, 6))
    with pytest.raises(ImageError, match=r"has 6 x 8 pixels, and the crop is of 8 x 6: .*data=celebahq"):
        images.files  # noqa: B018


@pytest.mark.parametrize("suffix", ["png", "PNG"])
def test_a_single_picture_is_a_folder_of_one(tmp_path, ramp, suffix):
    path = tmp_path / f"mine.{suffix}"
    write_image(path, ramp)
    write_image(tmp_path / "other.png", ramp)
    images = ImageFolder(str(path), size=6)
    assert images.image_ids == ["mine"] and images.index == [f"mine {file_hash(path)}"]
    np.testing.assert_array_equal(images[0]["image"], ImageFolder(str(tmp_path), size=6)[0]["image"])


@pytest.mark.parametrize(
    ("mode", "color", "suffix", "expected"),
    [
        ("1", 1, "png", (255, 255, 255)),
        ("L", 51, "png", (51, 51, 51)),
        ("LA", (51, 0), "png", (51, 51, 51)),
        ("P", 7, "png", (21, 14, 7)),
        ("RGBA", (10, 20, 30, 40), "webp", (10, 20, 30)),
        ("CMYK", (0, 102, 255, 51), "jpg", (204, 122, 0)),
        ("YCbCr", (128, 128, 128), "jpg", (128, 128, 128)),
    ],
)
def test_pictures_of_every_8_bit_mode(tmp_path, mode, color, suffix, expected):
    picture = Image.new(mode, (8, 8), color)
    if mode == "P":
        picture.putpalette([value for i in range(256) for value in (3 * i % 256, 2 * i % 256, i)])
    picture.save(tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    image = ImageFolder(str(tmp_path), size=8)[0]["image"]
    np.testing.assert_allclose((image[:, 4, 4] + 1) * 127.5, expected, atol=2)


def test_zip_equals_folder(folder):
    from_zip, from_folder = ImageFolder(str(as_zip(folder)), size=6), ImageFolder(str(folder), size=6)
    assert len(from_zip) == len(from_folder) == 5
    for a, b in zip(from_zip, from_folder, strict=False):
        assert a["image_id"] == b["image_id"]
        assert torch.equal(a["image"], b["image"])


def test_zip_works_in_worker_processes(folder):
    images = ImageFolder(str(as_zip(folder)), size=6)
    before = images[0]["image"]
    assert torch.equal(pickle.loads(pickle.dumps(images))[0]["image"], before)
    loader = torch.utils.data.DataLoader(images, batch_size=2, num_workers=2)
    assert [i for batch in loader for i in batch["image_id"]] == ["000", "001", "002", "003", "004"]


def test_edm_zip_is_read_in_its_own_order(tmp_path, ramp):
    path = tmp_path / "ffhq-64x64.zip"
    names = [f"{number // 2:05d}/img{number:08d}.png" for number in range(4)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dataset.json", '{"labels": null}')
        for number in (2, 0, 3, 1):
            buffer = io.BytesIO()
            Image.fromarray(ramp[:6] + number).save(buffer, format="png", compress_level=0)
            archive.writestr(names[number], buffer.getvalue())
    images = ImageFolder(str(path), size=6, indices=(1, 4))
    assert images.image_ids == ["img00000001", "img00000002", "img00000003"]
    # Files of the size that is asked for are not resampled.
    expected = (ramp[:6] + 1).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    assert np.array_equal(images[0]["image"].numpy(), expected)
    assert len(set(images.index)) == 3


def test_thumbnails_in_folders_keep_their_numbers(tmp_path, ramp):
    for number in (1000, 0, 69999, 999):
        write_image(tmp_path / f"{number // 1000 * 1000:05d}" / f"{number:05d}.png", ramp)
    assert ImageFolder(str(tmp_path), size=4).image_ids == ["00000", "00999", "01000", "69999"]


@pytest.mark.parametrize("kept", [0, 2, 5])
def test_cache_keeps_what_it_may_and_changes_nothing(folder, kept):
    one = 6 * 6 * 3 + 1
    plain = ImageFolder(str(folder), size=6, flip=True)
    cached = ImageFolder(str(folder), size=6, flip=True, cache_bytes=(kept + 1) * one - 1)
    assert len(cached) == 5
    loader = torch.utils.data.DataLoader(cached, batch_size=1, num_workers=2)
    for _ in range(2):
        assert all(torch.equal(a["image"][0], b["image"]) for a, b in zip(loader, plain, strict=False))
    # What the workers decoded is there in every process, and no more than was asked for.
    assert cached.cache.there.tolist() == [True] * kept
    assert cached.cache.pixels.nbytes + cached.cache.there.nbytes == kept * one
    expected = [plain[index, 7]["image"] for index in range(kept)]
    for file in folder.iterdir():
        file.unlink()
    assert all(torch.equal(cached[index, 7]["image"], image) for index, image in enumerate(expected))
    if kept < 5:
        with pytest.raises(ValueError, match="unreadable"):
            cached[kept]


def test_indices_pick_a_range_of_sorted_names(folder):
    picked = ImageFolder(str(folder), size=6, indices=(1, 3))
    assert [picked[i]["image_id"] for i in range(len(picked))] == ["001", "002"]


def test_flip_is_a_function_of_the_key(folder):
    images = ImageFolder(str(folder), size=6, flip=True)
    plain = images[0]["image"]
    flipped = [torch.equal(images[0, key]["image"], plain.flip(-1)) for key in range(200)]
    straight = [torch.equal(images[0, key]["image"], plain) for key in range(200)]
    assert all(a != b for a, b in zip(flipped, straight, strict=True))
    assert 70 < sum(flipped) < 130
    assert flipped == [torch.equal(images[0, key]["image"], plain.flip(-1)) for key in range(200)]


def test_gray_and_transparent_images_become_rgb(tmp_path):
    write_image(tmp_path / "gray.png", np.full((2, 2), 51, np.uint8))
    write_image(tmp_path / "transparent.png", np.full((2, 2, 4), [255, 0, 51, 7], np.uint8))
    gray, transparent = ImageFolder(str(tmp_path), size=2)
    np.testing.assert_allclose(gray["image"].numpy(), -0.6, atol=1e-6)
    np.testing.assert_allclose(transparent["image"][:, 0, 0].numpy(), [1, -1, -0.6], atol=1e-6)


def test_repeated_names_get_their_folders(tmp_path, ramp):
    for name in ("a/0.png", "b/0.png", "b/.hidden.png", "__MACOSX/0.png"):
        write_image(tmp_path / name, ramp)
    images = ImageFolder(str(tmp_path), size=2)
    assert [item["image_id"] for item in images] == ["a-0", "b-0"]


STORED = {  # how a camera that writes an EXIF orientation stores the upright picture
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}


def test_pictures_are_upright_and_crops_refer_to_that(tmp_path, ramp):
    for orientation, store in STORED.items():
        tags = Image.Exif()
        tags[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(store(ramp))).save(tmp_path / f"{orientation}.png", exif=tags)
    expected = ramp[3:7, 1:5].transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    for item in ImageFolder(str(tmp_path), size=4, crop=(1, 3, 5, 7)):
        np.testing.assert_array_equal(item["image"].numpy(), expected, item["image_id"])
    with pytest.raises(ImageError, match="of 6 x 8"):
        len(ImageFolder(str(tmp_path), size=4, crop=(0, 0, 8, 6), indices=(5, 6)))


def test_linked_folders_are_followed_once_each(tmp_path, ramp):
    for name in ("store/0/a.png", "store/0/deep/b.png", "images/own.png", "images/real/c.png"):
        write_image(tmp_path / name, ramp)
    for link, target in (("0", "store/0"), ("again", "store/0"), ("also_real", "images/real"), ("loop", "images")):
        (tmp_path / "images" / link).symlink_to(tmp_path / target)
    (tmp_path / "images" / "dangling.png").symlink_to(tmp_path / "nothing.png")
    images = ImageFolder(str(tmp_path / "images"), size=4)
    assert [name for name, _ in images.files] == ["0/a.png", "0/deep/b.png", "own.png", "real/c.png"]
    assert len(list(images)) == 4


def test_names_that_are_no_text_have_ids_that_are(tmp_path, ramp):
    write_image(tmp_path / "a.png", ramp)
    try:
        os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system takes text alone")
    (item,) = ImageFolder(str(tmp_path), size=4)
    assert item["image_id"] == "caf\\xe9"


def test_a_damaged_member_of_an_archive_costs_itself(folder):
    path = as_zip(folder)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("002.png")
    content = bytearray(path.read_bytes())
    content[member.header_offset + 60] ^= 255
    path.write_bytes(content)
    images = WithUnreadable(ImageFolder(str(path), size=4))
    assert ["image" in item for item in images] == [True, True, False, True, True]
    assert images[2]["image_id"] == "002" and f"002.png in {path}" in images[2]["unreadable"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filter": "cubic"}, "filter.*lanczos, box.*'cubic'"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"crop": (1, 2, 3)}, "crop.*1, 2, 3"),
        ({"indices": (1,)}, "indices.*1"),
        ({"cache_bytes": -1}, "cache_bytes.* 0.* -1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageFolder(**{"path": "anywhere", "size": 4, **arguments})


def test_missing_path_is_named_on_first_use_only(tmp_path):
    images = ImageFolder(str(tmp_path / "nowhere"), size=4)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        len(images)


def test_empty_folder_and_empty_range(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="PNG, JPEG or WebP.*empty"):
        len(ImageFolder(str(tmp_path / "empty"), size=4))
    with pytest.raises(ValueError, match=r"\[3, 6\).* 5 images"):
        len(ImageFolder(str(folder), size=4, indices=(3, 6)))


def test_unreadable_images_are_named(tmp_path, folder, ramp):
    (folder / "000.png").write_bytes(b"this is no image")
    content = (folder / "001.png").read_bytes()
    (folder / "001.png").write_bytes(content[: len(content) // 2])
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(folder / "002.png")
    images = ImageFolder(str(folder), size=4)
    for index in (0, 1):
        with pytest.raises(ValueError, match=f"00{index}.png"):
            images[index]
    with pytest.raises(ValueError, match="002.png .* 8 bits"):
        images[2]
    (folder / "002.png").unlink()
    with pytest.raises(ValueError, match="crop.*003.png.*6 x 8"):
        len(ImageFolder(str(folder), size=4, crop=(0, 0, 7, 7)))
    write_image(folder / "004.png", np.zeros((7, 7, 3), np.uint8))
    images = ImageFolder(str(folder), size=4, crop=(0, 0, 7, 7))
    assert torch.all(images[3]["image"] == -1)
    with pytest.raises(ImageError, match="crop.*003.png.*6 x 8"):
        images[2]
    broken = tmp_path / "broken.zip"
    broken.write_bytes(io.BytesIO(b"no archive").getvalue())
    with pytest.raises(ValueError, match="zip archive.*broken.zip"):
        len(ImageFolder(str(broken), size=4))


@pytest.fixture
def damaged(tmp_path):
    """A picture of 32 x 32 with a transparent corner of 8 x 10 pixels, and what it shows."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (32, 32, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:8, :10, 3] = 0
    (tmp_path / "pictures").mkdir()
    Image.fromarray(pixels, "RGBA").save(tmp_path / "pictures" / "photo.png")
    return tmp_path / "pictures", pixels


def test_a_measured_picture_is_the_measurement_and_what_is_transparent_is_missing(damaged):
    folder, pixels = damaged
    item = ImageFolder(folder, 32, measured=True)[0]
    assert "image" not in item and item["image_id"] == "photo"
    assert torch.equal(item["mask"][0], torch.from_numpy((pixels[..., 3] > 0).astype(np.float32)))
    measured = item["mask"].expand(3, -1, -1) > 0
    assert torch.equal(item["measurement"][measured], to_tensor(pixels[..., :3])[measured])


def test_a_measured_picture_is_shrunk_only_where_asked_and_nothing_missing_bleeds_into_it(damaged):
    folder, pixels = damaged
    with pytest.raises(ImageError, match="32 x 32.*16.*resize=true"):
        ImageFolder(folder, 16, measured=True)[0]
    with pytest.raises(ImageError, match="32 x 32.*64"):
        ImageFolder(folder, 64, measured=True, resize=True)[0]
    item = ImageFolder(folder, 16, measured=True, resize=True)[0]
    blocks = pixels[..., :3].reshape(16, 2, 16, 2, 3).astype(float).mean((1, 3))
    opaque = (pixels[..., 3] == 255).reshape(16, 2, 16, 2).all((1, 3))
    assert np.array_equal(item["mask"][0] > 0, opaque)
    shown = (item["measurement"].numpy().transpose(1, 2, 0) + 1) * 127.5
    assert np.abs(shown - blocks)[opaque].max() <= 1
    crop = ImageFolder(folder, 16, crop=(8, 8, 24, 24), measured=True)[0]
    assert crop["mask"][0, 0, :2].sum() == 2 and torch.equal(crop["measurement"], to_tensor(pixels[8:24, 8:24, :3]))


def test_a_mask_drawn_beside_the_picture_says_what_is_missing(damaged, tmp_path):
    folder, pixels = damaged
    drawn = np.full((32, 32), 230, np.uint8)
    drawn[20:, 4:9] = 40
    (tmp_path / "masks").mkdir()
    Image.fromarray(drawn).save(tmp_path / "masks" / "photo.jpg", quality=95)
    expected = torch.from_numpy((drawn > 128).astype(np.float32))
    for masks in (tmp_path / "masks", tmp_path / "masks" / "photo.jpg"):
        assert torch.equal(ImageFolder(folder, 32, measured=True, masks=masks)[0]["mask"][0], expected)
    transparent = np.dstack([np.zeros((32, 32, 3), np.uint8), drawn // 230 * 255])
    Image.fromarray(transparent, "RGBA").save(tmp_path / "hole.png")
    assert torch.equal(ImageFolder(folder, 32, measured=True, masks=tmp_path / "hole.png")[0]["mask"][0], expected)


def test_a_mask_that_is_missing_damaged_or_of_another_size_is_named(damaged, tmp_path):
    folder, _ = damaged
    Image.new("L", (31, 32)).save(tmp_path / "narrow.png")
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    for masks, fact in (
        ("narrow.png", "31 x 32.*photo.png.*32 x 32"),
        ("damaged.png", "damaged.png"),
        ("empty", "empty/photo.png"),
    ):
        with pytest.raises(ImageError, match=fact):
            ImageFolder(folder, 32, measured=True, masks=tmp_path / masks)[0]
    with pytest.raises(ValueError, match="measured=true"):
        ImageFolder(folder, 32, masks=tmp_path / "narrow.png")


def test_the_identity_of_measured_pictures_changes_with_their_masks(damaged, tmp_path):
    folder, _ = damaged
    images = ImageFolder(folder, 32, measured=True, masks=tmp_path / "mask.png")
    lines = []
    for level in (0, 255):
        Image.new("L", (32, 32), level).save(tmp_path / "mask.png")
        lines.append(images.index)
    assert lines[0] != lines[1]


def test_a_picture_without_a_mask_costs_itself(damaged, tmp_path):
    folder, pixels = damaged
    Image.fromarray(pixels, "RGBA").save(folder / "second.png")
    (tmp_path / "masks").mkdir()
    Image.fromarray(pixels[..., 3]).save(tmp_path / "masks" / "photo.png")
    images = ImageFolder(folder, 32, measured=True, masks=tmp_path / "masks")
    assert images.index[1].endswith(" none") and images.index[0] != images.index[1]
    assert "mask" in images[0]
    with pytest.raises(ImageError, match=r"no mask for the picture second\.png"):
        images[1]


@pytest.mark.parametrize(
    ("shape", "alpha", "said"),
    [
        ((32, 48), 255, "48 x 32 pixels, and is not square: say what to restore of it with data.test.crop"),
        ((16, 16), 255, "fewer than the model's 32 a side: take a model of smaller images"),
        ((32, 32), 254, "nothing of the measured picture a.png is measured"),
    ],
)
def test_measured_pictures_that_leave_a_question_open_are_refused(tmp_path, shape, alpha, said):
    Image.new("RGBA", shape[::-1], (1, 2, 3, alpha)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=said):
        ImageFolder(tmp_path, 32, measured=True, resize=True)[0]


def test_pictures_of_another_data_set_are_told_by_their_size_before_their_number(tmp_path, ramp):
    write_image(tmp_path / "hq" / "0.png", ramp)
    images = ImageFolder(str(tmp_path / "hq"), 2, crop=(0, 0, 2, 2), crop_of=(8, 6), indices=(10, 20))
    with pytest.raises(ImageError, match="data=celebahq"):
        images.files  # noqa: B018
