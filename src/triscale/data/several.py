"""Images with several labels: how they are split, and what a network's answers are held against."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from triscale.data.listing import LABEL_SEPARATOR, Entry, Listing
from triscale.errors import DataError


def rarest_labels(entries: Sequence[Entry]) -> dict[str, str]:
    """Under which one label an image with these labels is split: the rarest of them, so that it is in every split.

    Returns: the joined labels of an image -> one of them; no label for none.
    """
    counts = collections.Counter(label for each in entries for label in each.label.split(LABEL_SEPARATOR))
    return {
        joined: min(joined.split(LABEL_SEPARATOR), key=lambda label: (counts[label], label))
        for joined in {each.label for each in entries}
    }


def require_trained(listing: Listing, split: Mapping[str, str]) -> None:
    """Refuse a split that leaves nothing to learn a class from.

    split: of each image, by its name. Raises: DataError naming the classes.
    """
    trained = (each for each in listing.entries if split.get(each.name) == "train")
    lost = sorted(set(listing.classes) - {label for each in trained for label in listing.labels_of(each)})
    if lost:
        raise DataError(
            f"{listing.root}: all images of {', '.join(lost[:5])} fell into val or test; add images of it, "
            f"or say in a column `split` which are for training."
        )


def multi_hot(labels: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """(N, width) float32: 1 where an image has the class, else 0. labels: class numbers of each image."""
    targets = np.zeros((len(labels), width), np.float32)
    for row, own in enumerate(labels):
        targets[row, list(own)] = 1
    return targets
