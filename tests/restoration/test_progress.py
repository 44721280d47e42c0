"""How far the images of a start are, and how long the rest takes."""

import pytest

from alps_exp.restoration import progress as module
from alps_exp.restoration.progress import ImageProgress


@pytest.fixture
def clock(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    return clock


def restore(progress, clock, images, steps, seconds):
    progress.begin_batch(images, steps)
    progress.compute()
    for _ in range(steps):
        clock[0] += seconds / steps
        progress.step(None)
    progress.end_batch()


def test_the_pace_is_that_of_the_images_of_this_start(clock):
    progress = ImageProgress()
    assert str(progress) == "" and progress.seconds_left() is None
    progress.total = 10
    for _ in range(4):  # finished by an earlier start
        progress.begin_batch(1, 5)
        clock[0] += 1000
        progress.end_batch()
    assert str(progress).startswith("image 5 of 10") and progress.seconds_left() is None
    restore(progress, clock, 1, 5, 20.0)
    assert progress.seconds_left() == pytest.approx(5 * 20)
    progress.begin_batch(1, 5)
    progress.compute()
    for _ in range(2):
        clock[0] += 4
        progress.step(None)
    assert str(progress) == "image 6 of 10, step 3 of 5"
    assert progress.seconds_left() == pytest.approx(4.6 * 20)


def test_a_batch_counts_all_its_images_and_the_end_has_no_time_left(clock):
    progress = ImageProgress()
    progress.total = 40
    progress.begin_batch(32, 10)
    assert str(progress).startswith("images 1 to 32 of 40")
    restore(progress, clock, 32, 10, 64.0)
    assert progress.seconds_left() == pytest.approx(16)
    progress.begin_batch(8, 0)
    assert str(progress) == "images 33 to 40 of 40"
    progress.end_batch()
    assert progress.seconds_left() is None and "report" in str(progress)


def test_a_sampler_that_stops_early_is_expected_to_do_so_again(clock):
    progress = ImageProgress()
    progress.total = 2
    progress.begin_batch(1, 500)
    progress.compute()
    for _ in range(20):
        clock[0] += 1
        progress.step(None)
    progress.end_batch()
    progress.begin_batch(1, 500)
    assert str(progress) == "image 2 of 2, step 1 of 20"


def test_processes_that_share_the_images_are_named():
    progress = ImageProgress()
    progress.total, progress.processes = 4, 2
    assert str(progress) == "image 1 of 4 (each of 2 processes)"
