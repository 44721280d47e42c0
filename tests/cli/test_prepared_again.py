"""What is prepared again: a volume whose source was replaced, and one that was damaged, wherever the damage is."""

import os
from random import Random

import numpy as np
import pytest
from test_measured_kspace import GAUSSIAN, PREPARE, write_fastmri

from alps_exp.mri.kspace import KSpaceError
from alps_exp.mri.prepared_volume import PreparedVolumeFile


@pytest.fixture
def prepare(alps, tmp_path):
    """Return what prepares two volumes: the exit status, and which of them were done."""
    (tmp_path / "files").mkdir()
    for name in ("a", "b"):
        write_fastmri(tmp_path / "files" / f"{name}.h5", 1)
    request = [f"source={tmp_path / 'files'}", f"output={tmp_path / 'prepared'}", *PREPARE, "num_workers=1", "noise=1"]

    def run(*words):
        status, out, err = alps("prepare", *request, *words)
        assert status == 0, out + err
        return [line.partition(":")[0] for line in out.splitlines() if " slices; " in line]

    assert sorted(run()) == ["a", "b"] and run() == []
    return run


def flip(path, where):
    """Change one bit, and neither size nor time."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[where // 8] ^= 1 << where % 8
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_source_of_another_content_is_prepared_again_whatever_its_date(prepare, tmp_path):
    source = tmp_path / "files" / "a.h5"
    size = source.stat().st_size
    source.unlink()
    write_fastmri(source, 1, undersampled=True)
    assert source.stat().st_size == size
    os.utime(source, (0, 0))
    assert prepare() == ["a"] and prepare() == []
    os.utime(source)
    assert prepare() == []


def test_a_prepared_file_that_is_cut_is_made_again(prepare, tmp_path):
    volume = tmp_path / "prepared" / "volumes" / "b.h5"
    whole = volume.read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        volume.write_bytes(content)
        assert prepare() == ["b"] and volume.read_bytes() == whole


def test_no_flipped_bit_of_a_prepared_file_is_taken_for_data(prepare, tmp_path):
    volume = tmp_path / "prepared" / "volumes" / "b.h5"
    whole, moments = volume.read_bytes(), Random(0)
    expected = contents(volume)
    unseen = 0
    for where in (moments.randrange(8 * len(whole)) for _ in range(150)):
        flip(volume, where)
        try:
            assert all(map(np.array_equal, contents(volume), expected))
            unseen += 1  # in what no reader looks at
        except KSpaceError as error:
            assert str(volume) in str(error)
        volume.write_bytes(whole)
    assert unseen < 120


def contents(path):
    file = PreparedVolumeFile(path)
    numbers = [[file.scale, file.noise_std, *file.recon_shape, *file.slices, *file.has_image]]
    arrays = [file.read(name, 0) for name in ("kspace", "sensitivity_maps", "mask", "image")]
    return [*numbers, *arrays]


def test_a_damaged_one_is_named_by_restore_and_made_again_with_verify(prepare, alps, tmp_path):
    volume = tmp_path / "prepared" / "volumes" / "b.h5"
    whole = volume.read_bytes()
    flip(volume, 8 * whole.index(PreparedVolumeFile(volume).read("kspace", 0).tobytes()[:64]))
    request = ["data=fastmri", f"data.test.path={tmp_path / 'prepared'}", *GAUSSIAN, "operator=retrospective_2x"]
    request += ["sampler=sense", "logger=none", "figures=false", f"output_root={tmp_path / 'out'}"]
    status, _, err = alps("restore", *request)
    (line,) = [line for line in err.splitlines() if line.startswith("failed: ")]
    assert status == 1 and "b.h5 is damaged: prepare it again, with verify=true" in line
    assert prepare() == []
    assert prepare("verify=true") == ["b"] and volume.read_bytes() == whole
