"""Presets: how large a search is, and what it will cost before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from triscale.data.augment import Augmentation
from triscale.errors import SearchError
from triscale.search.halving import Rung, trainings
from triscale.training.recipe import Recipe

LITTLE = Augmentation(crop_area=(0.6, 1.0), flip=0.0)


@dataclass(frozen=True, slots=True)
class Preset:
    """How large a search is.

    meant_for: the machine and the time that it was made for.
    side: pixels of the baseline's images, unless they are given. per_class: training images of each class, all for
        None; judged: validation images, all for None.
    recipe: of every training. rungs: of successive halving. most: networks that are compared.
    largest: the family is made for phi 1 to this. growths, curve_seeds: of the curves of scaling, which are trained as
        long as the last rung. final_seeds: of what is compared at the end. trials: networks that a search inside a
        budget asks, trained as long as the last rung.
    """

    name: str
    meant_for: str
    side: int
    per_class: int | None
    judged: int | None
    recipe: Recipe
    rungs: tuple[Rung, ...]
    most: int
    largest: int
    growths: tuple[float, ...]
    curve_seeds: int
    final_seeds: int
    trials: int

    def steps(self, candidates: int) -> int:
        """Training steps of STEP 1 with so many candidates."""
        return sum(count * steps for count, steps in trainings(candidates, self.rungs))


_BRIEF = Recipe(
    batch_size=40, learning_rate=6e-3, warmup_epochs=1.0, weight_decay=0.05, ema_decay=0.0, augmentation=LITTLE
)

PRESETS: dict[str, Preset] = {
    # Scores of 20 images a class are far from perfect, so that networks differ, and 1,000 images judge them to 1.5 %.
    "tiny": Preset(
        name="tiny",
        meant_for="2 cores, minutes",
        side=64,
        per_class=20,
        judged=1000,
        recipe=_BRIEF,
        rungs=(Rung(40, 1, 1 / 3), Rung(80, 2, 1 / 2), Rung(160, 3)),
        most=22,
        largest=3,
        growths=(2.0, 4.0),
        curve_seeds=3,
        final_seeds=3,
        trials=20,
    ),
    "small": Preset(
        name="small",
        meant_for="one GPU, hours",
        side=96,
        per_class=None,
        judged=5000,
        recipe=Recipe(batch_size=128, learning_rate=4e-3, warmup_epochs=1.0, weight_decay=0.05, ema_decay=0.0),
        rungs=(Rung(1000, 1, 1 / 3), Rung(3000, 2, 1 / 3), Rung(9000, 3)),
        most=40,
        largest=5,
        growths=(2.0, 4.0, 8.0),
        curve_seeds=3,
        final_seeds=3,
        trials=40,
    ),
    # What the paper did is not told in full: a small grid search on ImageNet, at full length.
    "paper": Preset(
        name="paper",
        meant_for="a cluster, weeks; never run by us",
        side=224,
        per_class=None,
        judged=25_022,
        recipe=Recipe(batch_size=1024, learning_rate=2e-3, warmup_epochs=5.0, weight_decay=0.05, ema_decay=0.0),
        rungs=(Rung(50_000, 1, 1 / 3), Rung(200_000, 1)),
        most=60,
        largest=7,
        growths=(2.0, 4.0, 8.0, 16.0),
        curve_seeds=1,
        final_seeds=2,
        trials=60,
    ),
}


def preset(name: str) -> Preset:
    """A preset by name. Raises: SearchError naming those that there are."""
    if name not in PRESETS:
        raise SearchError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]
