"""Batches of images: read ahead by threads, in an order that is a pure function of (seed, epoch).

Threads, not processes: decoding and resizing let other threads run, the decoded images of a small set are kept once
for all, nothing is copied between processes, and nothing is left behind when this process is killed.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from triscale.data.augment import Augmentation
from triscale.data.balance import balanced
from triscale.data.dataset import Sample
from triscale.data.detection.augment import BoxAugmentation
from triscale.data.detection.dataset import BoxSample
from triscale.data.detection.items import BoxItems
from triscale.data.images import ImageError, image_header, open_image
from triscale.data.items import Item, Items, LabelItems
from triscale.data.member import ImagePlace
from triscale.data.parallel import cores
from triscale.data.shards.ahead import Ahead
from triscale.data.shards.order import Reading, blocks_of, reading
from triscale.errors import DataError
from triscale.spec.network import Size
from triscale.spec.placement import Placement
from triscale.spec.preprocessing import Preprocessing

_PIECE = 16  # images that one thread makes at a time
_MOST_WORKERS = 16  # beyond that threads wait for each other
_AHEAD = 2  # batches that are made while one is used
_KEPT_BYTES = 256 * 1024**2


class Batch(NamedTuple):
    """images: (N, C, H, W) float32, normalised, channels last in memory. labels, indices: (N,) int64.

    With several labels an image, labels are (N, classes) float32: 1 where it has the class, else 0. With boxes they are
    (N, M, 5) float32: x1, y1, x2, y2 in pixels of the input, and the class; -1 for a row that stands for nothing, -2
    for a region in which nothing is taught.
    With `as_bytes`, images are uint8, cut out and resized but not changed in any other way: see `DeviceAugment`.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


class Batches:
    """The batches of a list of samples, epoch by epoch.

    What an epoch gives depends on (samples, seed, epoch) alone: not on the number of workers, on what was read before,
    nor on the batch it starts with. So a run that stopped in the middle of an epoch goes on exactly where it was.

    Several processes that train together each ask for their `part` of every batch; the parts together are the batch.

    With an augmentation, images are of `preprocessing.train_size` and the order is shuffled; without one, they are what
    `preprocess` gives at `preprocessing.size`, in the samples' order. Shards of more than `WINDOW_BYTES` are read a few
    at a time, see `data.shards.order`.
    """

    def __init__(
        self,
        samples: Sequence[Sample] | Sequence[BoxSample],
        preprocessing: Preprocessing,
        batch_size: int,
        augmentation: Augmentation | BoxAugmentation | None = None,
        seed: int = 0,
        workers: int | None = None,
        *,
        class_weights: np.ndarray | None = None,
        shuffle: bool | None = None,
        drop_last: bool | None = None,
        size: Size | None = None,
        skip_broken: bool = False,
        kept_bytes: int = _KEPT_BYTES,
        target_width: int = 0,
        as_bytes: bool = False,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """Prepare; nothing is read yet.

        samples: with labels or with boxes; the augmentation is one of the same kind.
        batch_size: images per batch. seed: of order and augmentation.
        workers: threads; None takes one per core, 16 at most.
        class_weights: how often images of each class come, (classes,), in a shuffled order; see `balanced`. None
            shows each image once an epoch.
        shuffle: None shuffles where there is an augmentation.
        drop_last: leave out the last batch where it is smaller; None does so where the order is shuffled. Where all
            samples together are less than one batch, they are one batch all the same.
        size: (H, W) instead of the one in `preprocessing`.
        skip_broken: leave images that cannot be used out of their batch (see `skipped`) rather than raise.
        kept_bytes: how much of the decoded images may stay in memory. Only small ones do: those that are always decoded
            at full size, so that keeping them changes nothing but the time.
        target_width: of the set (`Dataset.target_width`): the classes, where an image may have several.
        as_bytes: leave everything after the crop to `DeviceAugment`; for training only.
        part: (rank, size): of each batch only the rank-th of `size` parts, which differ by one image at most. Each rank
            gets as many batches as the others; a part of a batch with fewer images than ranks may be empty.
        Raises: DataError where there are no samples, the batch size is below 1, there is no such part, or bytes are
            wanted of images that are not augmented or have boxes.
        """
        if not 0 <= part[0] < part[1]:
            raise DataError(f"part {part[0]} of {part[1]} does not exist; expected a rank from 0 to size - 1.")
        if not samples or batch_size < 1:
            raise DataError(
                f"batches of {batch_size} from {len(samples)} images cannot be made; both must be at least 1."
            )
        training = augmentation is not None
        self.samples, self.preprocessing, self.augmentation = samples, preprocessing, augmentation
        self.batch_size, self.seed, self.workers = batch_size, seed, workers or min(cores(), _MOST_WORKERS)
        self.shuffle = training if shuffle is None else shuffle
        self.drop_last = self.shuffle if drop_last is None else drop_last
        self.size = size or (preprocessing.train_size if training else None) or preprocessing.size
        self.skip_broken, self.part, self.class_weights = skip_broken, part, class_weights
        self.as_bytes = as_bytes
        self.skipped: set[int] = set()
        self.waited = 0.0
        self._items = _items_of(samples, preprocessing, augmentation, seed, self.size, target_width, as_bytes)
        self._kept, self._blocks = _Kept(kept_bytes), blocks_of(samples)

    def __len__(self) -> int:
        """Batches in one epoch."""
        whole, rest = divmod(len(self.samples), self.batch_size)
        return max(1, whole) if self.drop_last else whole + (rest > 0)

    def placement(self, index: int) -> Placement:
        """Where an image with boxes lay in the input when it was last made, as evaluation has it."""
        assert isinstance(self._items, BoxItems)
        return self._items.placements[index]

    def order(self, epoch: int) -> np.ndarray:
        """The indices of all samples in the order of this epoch, int64."""
        return self._reading(epoch).order

    def _reading(self, epoch: int) -> Reading:
        dice = np.random.default_rng([self.seed % 2**64, epoch]) if self.shuffle else None
        plan = reading(len(self.samples), self._blocks, dice)
        if dice is None or self.class_weights is None:
            return plan
        labels = self._items.targets(np.arange(len(self.samples)), ()).numpy()
        return replace(plan, order=balanced(plan.order, plan.starts, labels, self.class_weights, dice))

    def epoch(self, number: int, start_batch: int = 0) -> Generator[Batch]:
        """The batches of one epoch, from `start_batch` on.

        `waited` is then the seconds that the caller spent waiting for them, and `skipped` the indices left out so far.
        Raises: ImageError (a DataError) naming an image that cannot be used, unless `skip_broken`.
        """
        self.waited = 0.0
        plan = self._reading(number)
        numbers = iter(range(start_batch, len(self)))
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="triscale-images")
        coming: collections.deque[_Coming] = collections.deque()
        try:
            with Ahead(plan) as shards:
                while True:
                    for batch in numbers:
                        shards.reach(batch * self.batch_size)
                        chosen = plan.order[batch * self.batch_size : (batch + 1) * self.batch_size]
                        coming.append(self._begin(pool, _part(chosen, *self.part), number))
                        if len(coming) > _AHEAD:
                            break
                    if not coming:
                        return
                    start = time.perf_counter()
                    batch = self._finish(coming.popleft())
                    self.waited += time.perf_counter() - start
                    if len(batch.labels) or self.part[1] > 1:  # an empty part keeps the ranks in step
                        yield batch
        finally:  # also when the caller stops early or Ctrl-C comes
            pool.shutdown(cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor, chosen: np.ndarray, epoch: int) -> _Coming:
        kind = np.uint8 if self.as_bytes else np.float32
        values = np.empty((len(chosen), *self.size, self.preprocessing.channels), kind)
        pieces = range(0, len(chosen), _PIECE)
        made: list[Any] = [None] * len(chosen)
        jobs = [pool.submit(self._fill, values, made, chosen, epoch, slice(at, at + _PIECE)) for at in pieces]
        return _Coming(values, made, chosen, jobs)

    def _finish(self, coming: _Coming) -> Batch:
        missing = [place for job in coming.jobs for place in job.result()]
        values, made, chosen = coming.values, coming.made, coming.chosen
        if missing:
            self.skipped.update(int(chosen[place]) for place in missing)
            values, chosen = np.delete(values, missing, axis=0), np.delete(chosen, missing)
            made = [each for place, each in enumerate(made) if place not in missing]
        images = torch.from_numpy(values).permute(0, 3, 1, 2)
        return Batch(images, self._items.targets(chosen, made), torch.from_numpy(chosen))

    def _fill(self, values: np.ndarray, made: list[Any], chosen: np.ndarray, epoch: int, piece: slice) -> list[int]:
        """Make the images of one piece of a batch. Returns: the places in the batch that stay empty."""
        missing = []
        for place, index in list(enumerate(chosen))[piece]:
            try:
                values[place], made[place] = self._make(int(index), epoch)
            except ImageError:
                if not self.skip_broken:
                    raise
                missing.append(place)
        return missing

    def _make(self, index: int, epoch: int) -> Item:
        return self._items.make(index, epoch, self._open)

    def _open(self, index: int, at_least: Size) -> Image.Image:
        image = self._kept.get(index)
        if image is None:
            path = self.samples[index].path
            image = open_image(path, at_least)
            if self._is_always_whole(path, image):
                self._kept.add(index, image)
        return image

    def _is_always_whole(self, path: ImagePlace, image: Image.Image) -> bool:
        """Whether the file is decoded at full size whatever the crop: to halve a JPEG takes four times the target."""
        if self._kept.left <= 0 or min(image.height / self.size[0], image.width / self.size[1]) < 2:
            return self._kept.left > 0  # so small that it cannot have been halved
        kind, (height, width) = image_header(path)
        return kind != "JPEG" or min(height / self.size[0], width / self.size[1]) < 4


def _items_of(
    samples: Sequence[Sample] | Sequence[BoxSample],
    preprocessing: Preprocessing,
    augmentation: Augmentation | BoxAugmentation | None,
    seed: int,
    size: Size,
    target_width: int,
    as_bytes: bool,
) -> Items:
    """What makes images and targets of these samples. Raises: DataError for an augmentation of another kind."""
    boxed = isinstance(samples[0], BoxSample)
    if isinstance(augmentation, Augmentation if boxed else BoxAugmentation):
        kind = "boxes need a BoxAugmentation" if boxed else "labels need an Augmentation"
        raise DataError(f"images with {kind}, got {type(augmentation).__name__}.")
    if as_bytes and (boxed or augmentation is None):
        found = "boxes" if boxed else "no augmentation"
        raise DataError(f"as_bytes is for training images with labels, and these have {found}; leave it out.")
    if boxed:
        return BoxItems(samples, preprocessing, augmentation, seed, size)  # ty: ignore[invalid-argument-type]
    return LabelItems(samples, preprocessing, augmentation, seed, size, target_width, as_bytes)  # ty: ignore[invalid-argument-type]


def _part(chosen: np.ndarray, rank: int, size: int) -> np.ndarray:
    """The rank-th of `size` neighbouring parts; in the order of the ranks they are the whole again."""
    return chosen[len(chosen) * rank // size : len(chosen) * (rank + 1) // size]


class _Coming(NamedTuple):
    """A batch that is being made."""

    values: np.ndarray
    made: list[Any]
    chosen: np.ndarray
    jobs: list[Future[list[int]]]


class _Kept:
    """Decoded images by index, up to a number of bytes; what does not fit is decoded again each time."""

    def __init__(self, limit: int) -> None:
        self.left, self.images, self.lock = limit, dict[int, Image.Image](), threading.Lock()

    def get(self, index: int) -> Image.Image | None:
        return self.images.get(index)

    def add(self, index: int, image: Image.Image) -> None:
        size = image.width * image.height * 4  # Pillow holds an RGB pixel in four bytes
        with self.lock:
            if size <= self.left and index not in self.images:
                self.images[index] = image
                self.left -= size
