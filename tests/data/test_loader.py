import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from tests.images import make_folder, make_image, make_photo
from triscale.data.augment import Augmentation
from triscale.data.dataset import Sample
from triscale.data.images import open_image
from triscale.data.loader import Batches
from triscale.data.transforms import load
from triscale.errors import DataError
from triscale.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=(24, 20), train_size=(16, 16))
AUGMENTATION = Augmentation(randaugment_layers=1, erase=0.3)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """50 images of all the kinds that are decoded in different ways: small PNG, middle-sized and large JPEG."""
    folder = tmp_path_factory.mktemp("set")
    result = []
    for number in range(50):
        path = folder / (f"{number}.png" if number % 5 else f"{number}.jpg")
        size = 30 if number % 5 else (60, 200) if number % 2 else (300, 250)
        make_image(number % 3, number, size).save(path)
        result.append(Sample(path, number % 3))
    return tuple(result)


def images(batches, epoch, start_batch=0):
    return [batch.images.clone() for batch in batches.epoch(epoch, start_batch)]


def assert_same(first, second):
    assert len(first) == len(second)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_batches_have_shape_type_and_labels(samples):
    batches = Batches(samples, PREPROCESSING, 8, AUGMENTATION)
    seen = list(batches.epoch(0))
    assert len(seen) == len(batches) == 6
    for batch in seen:
        assert batch.images.shape == (8, 3, 16, 16)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.tolist() == [samples[index].label for index in batch.indices]


def test_evaluation_reads_all_images_in_order_as_preprocess_makes_them(samples):
    batches = Batches(samples, PREPROCESSING, 8)
    seen = list(batches.epoch(0))
    assert len(seen) == len(batches) == 7
    assert torch.cat([batch.indices for batch in seen]).tolist() == list(range(50))
    expected = torch.stack([load(sample.path, PREPROCESSING) for sample in samples])
    assert torch.equal(torch.cat([batch.images for batch in seen]), expected)


@pytest.mark.parametrize("augmentation", [None, AUGMENTATION])
def test_any_number_of_workers_gives_the_same_batches(samples, augmentation):
    one, two, seven = (images(Batches(samples, PREPROCESSING, 20, augmentation, workers=n), 3) for n in (1, 2, 7))
    assert_same(one, two)
    assert_same(one, seven)


@pytest.mark.parametrize("start", range(7))
def test_an_epoch_goes_on_in_the_middle_as_it_was(samples, start):
    whole = images(Batches(samples, PREPROCESSING, 8, AUGMENTATION, seed=4), 2)
    assert_same(images(Batches(samples, PREPROCESSING, 8, AUGMENTATION, seed=4), 2, start), whole[start:])


def test_what_was_read_before_changes_nothing(samples):
    fresh = images(Batches(samples, PREPROCESSING, 8, AUGMENTATION), 5)
    used = Batches(samples, PREPROCESSING, 8, AUGMENTATION)
    for epoch in range(5):
        images(used, epoch)
    assert_same(images(used, 5), fresh)
    assert_same(images(Batches(samples, PREPROCESSING, 8, AUGMENTATION, kept_bytes=0), 5), fresh)
    assert_same(images(Batches(samples, PREPROCESSING, 8, AUGMENTATION, kept_bytes=30_000), 5), fresh)


def test_each_epoch_and_seed_has_its_own_order_and_augmentation(samples):
    batches = Batches(samples, PREPROCESSING, 50, AUGMENTATION)
    first, second = (next(batches.epoch(number)) for number in (0, 1))
    assert sorted(first.indices.tolist()) == sorted(second.indices.tolist()) == list(range(50))
    assert first.indices.tolist() != second.indices.tolist()
    place = first.indices.tolist().index(7), second.indices.tolist().index(7)
    assert not torch.equal(first.images[place[0]], second.images[place[1]])
    assert Batches(samples, PREPROCESSING, 50, AUGMENTATION, seed=-1).order(0).tolist() != first.indices.tolist()


def test_small_images_are_decoded_once(samples, monkeypatch):
    opened = []

    def counting(path, at_least=None):
        opened.append(path)
        return open_image(path, at_least)

    monkeypatch.setattr("triscale.data.loader.open_image", counting)
    batches = Batches(samples, PREPROCESSING, 50, AUGMENTATION)
    for epoch in range(3):
        images(batches, epoch)
    large = {sample.path for number, sample in enumerate(samples) if number % 10 == 0}  # 300 x 250 for 16 x 16
    assert {path for path in opened if opened.count(path) > 1} == large


def test_what_is_kept_stays_below_its_limit(samples):
    batches = Batches(samples, PREPROCESSING, 50, kept_bytes=10 * 30 * 30 * 4)
    images(batches, 0)
    assert len(batches._kept.images) == 10


def test_grey_networks_get_one_channel(samples):
    grey = Preprocessing(size=(8, 8), mean=(0.5,), std=(0.5,))
    assert next(Batches(samples, grey, 4, AUGMENTATION).epoch(0)).images.shape == (4, 1, 8, 8)
    assert next(Batches(samples, grey, 4).epoch(0)).images.shape == (4, 1, 8, 8)


def test_another_size_may_be_asked_for(samples):
    assert next(Batches(samples, PREPROCESSING, 4, AUGMENTATION, size=(12, 18)).epoch(0)).images.shape[2:] == (12, 18)


def test_less_than_one_batch_is_one_batch(samples):
    batches = Batches(samples[:5], PREPROCESSING, 8, AUGMENTATION)
    assert len(batches) == 1
    assert [len(batch.labels) for batch in batches.epoch(0)] == [5]


@pytest.mark.parametrize(("drop", "sizes"), [(True, [20, 20]), (False, [20, 20, 10])])
def test_the_last_batch_is_dropped_or_not(samples, drop, sizes):
    batches = Batches(samples, PREPROCESSING, 20, shuffle=True, drop_last=drop)
    assert [len(batch.labels) for batch in batches.epoch(0)] == sizes
    assert len(batches) == len(sizes)


def test_nothing_to_read_is_refused(samples):
    with pytest.raises(DataError, match="batches of 8 from 0 images"):
        Batches((), PREPROCESSING, 8)
    with pytest.raises(DataError, match="batches of 0"):
        Batches(samples, PREPROCESSING, 0)


def test_a_broken_image_is_named_or_skipped(samples, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(samples[1].path.read_bytes()[:100])
    mixed = (*samples[:10], Sample(broken, 1), *samples[10:20])
    with pytest.raises(DataError, match=r"broken\.png: truncated or damaged"):
        list(Batches(mixed, PREPROCESSING, 4).epoch(0))
    batches = Batches(mixed, PREPROCESSING, 4, skip_broken=True)
    seen = list(batches.epoch(0))
    assert [len(batch.labels) for batch in seen] == [4, 4, 3, 4, 4, 1]
    assert batches.skipped == {10}
    assert 10 not in torch.cat([batch.indices for batch in seen])
    assert torch.equal(seen[2].images[2], load(samples[10].path, PREPROCESSING))


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("augmentation", [None, AUGMENTATION])
def test_the_parts_of_all_ranks_together_are_the_whole_batch(samples, augmentation, size):
    whole = list(Batches(samples, PREPROCESSING, 12, augmentation).epoch(1))
    parts = [list(Batches(samples, PREPROCESSING, 12, augmentation, part=(r, size)).epoch(1)) for r in range(size)]
    assert {len(each) for each in parts} == {len(whole)}  # all ranks take as many steps
    for batch, *shares in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([each.images for each in shares]), batch.images)
        assert torch.equal(torch.cat([each.labels for each in shares]), batch.labels)
        assert torch.equal(torch.cat([each.indices for each in shares]), batch.indices)
        counts = [len(each.labels) for each in shares]
        assert max(counts) - min(counts) <= 1


def test_a_rank_that_has_no_image_gets_an_empty_batch(samples):
    batches = [list(Batches(samples[:9], PREPROCESSING, 8, part=(rank, 2)).epoch(0)) for rank in (0, 1)]
    assert [[len(batch.labels) for batch in each] for each in batches] == [[4, 0], [4, 1]]
    assert batches[0][1].images.shape == (0, 3, 24, 20)


@pytest.mark.parametrize("part", [(1, 1), (-1, 2), (0, 0)])
def test_a_part_that_does_not_exist_is_refused(samples, part):
    with pytest.raises(DataError, match=f"part {part[0]} of {part[1]} does not exist"):
        Batches(samples, PREPROCESSING, 8, part=part)


def test_stopping_early_leaves_no_threads(samples):
    before = threading.active_count()
    for number, _ in enumerate(Batches(samples, PREPROCESSING, 2, AUGMENTATION, workers=4).epoch(0)):
        if number == 3:
            break
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_waiting_is_measured(samples):
    batches = Batches(samples, PREPROCESSING, 8, AUGMENTATION)
    images(batches, 0)
    assert 0 < batches.waited < 60


ENDLESS = """
import sys
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.data.loader import Batches
from triscale.spec.preprocessing import Preprocessing
batches = Batches(read_dataset(sys.argv[1]).train, Preprocessing(size=(64, 64)), 4, Augmentation(), workers=3)
epoch = 0
while True:
    for _ in batches.epoch(epoch):
        print("batch", flush=True)
    epoch += 1
"""


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)])
def test_it_ends_at_once_when_interrupted_or_killed(tmp_path, how, code):
    make_folder(
        tmp_path, classes=2, per_class=60, size=200
    )  # long epochs: Python forgets a signal in a weakref's callback
    program = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
    )  # fmt: skip
    for _ in range(5):
        assert program.stdout.readline() == "batch\n"
    program.send_signal(how)
    _, said = program.communicate(timeout=20)
    assert program.returncode == code
    if how == signal.SIGINT:
        assert said.strip().endswith("KeyboardInterrupt")


def test_a_large_jpeg_is_reduced_for_its_crop_and_looks_the_same(tmp_path):
    make_photo(800, 1000).save(tmp_path / "a.jpg", quality=95)
    make_photo(800, 1000).save(tmp_path / "a.png")
    choice = Preprocessing(size=(64, 64), mean=(0,) * 3, std=(1 / 255,) * 3)
    reduced, full = (
        next(Batches([Sample(tmp_path / name, 0)], choice, 1, Augmentation()).epoch(0)).images
        for name in ("a.jpg", "a.png")
    )
    assert np.abs((reduced - full).numpy()).mean() < 2


def test_files_that_vanish_are_named(samples, tmp_path):
    shutil.copy(samples[1].path, tmp_path / "gone.png")
    batches = Batches([Sample(tmp_path / "gone.png", 0)], PREPROCESSING, 1, kept_bytes=0)
    images(batches, 0)
    (tmp_path / "gone.png").unlink()
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        images(batches, 1)
