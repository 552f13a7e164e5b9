"""What is special to labels, or to boxes, in a training: the one seam between the loop and what is learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from triscale.data.dataset import Dataset
from triscale.data.detection.dataset import BoxDataset
from triscale.data.loader import Batches
from triscale.models.model import Model
from triscale.spec.preprocessing import Preprocessing
from triscale.training.answer import Objective, Weigh
from triscale.training.calibration import Calibration
from triscale.training.plan import Plan
from triscale.training.recipe import Recipe
from triscale.training.stage import Stage
from triscale.training.state import EpochSums
from triscale.training.world import World

AnyDataset = Dataset | BoxDataset
Split = Literal["val", "test"]
E = TypeVar("E")


class Judged(Protocol):
    """What a network gets right on some images; every evaluation has this face."""

    @property
    def score(self) -> float:
        """What weights are chosen by, the higher the better."""
        ...

    @property
    def loss(self) -> float:
        """Decides between equal scores; not finite where the weights are useless."""
        ...

    @property
    def count(self) -> int:
        """Number of images."""
        ...

    def rates(self) -> dict[str, float]:
        """Flat rates, as the log holds them."""
        ...

    def metrics(self) -> dict[str, Any]:
        """The figures as plain values, as `metrics.json` holds them."""
        ...

    def said(self) -> str:
        """The figure that people ask for first."""
        ...

    def sentence(self, split: str) -> str:
        """The same, saying on how many images of which split."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """What is shipped with the weights, beside the figures of the evaluation itself.

    metrics: more for `metrics.json`. details: `evaluation.json`. card: fields of the model's card.
    calibration: of a classifier.
    """

    metrics: Mapping[str, Any]
    details: Mapping[str, Any]
    card: Mapping[str, Any]
    calibration: Calibration | None = None


class Task(Protocol[E]):
    """One data set with a recipe, and all that training does differently for this kind of data.

    dataset, recipe: what is learnt, and how. score_name: what an evaluation's score is called in `metrics.json`.
    """

    @property
    def dataset(self) -> AnyDataset:
        """What is learnt from."""
        ...

    @property
    def recipe(self) -> Recipe:
        """How."""
        ...

    @property
    def score_name(self) -> str:
        """What an evaluation's score is called in `metrics.json`."""
        ...

    def check(self, model: Model) -> None:
        """Refuse what cannot be learnt. Raises: TrainingError where model, data and recipe do not belong together."""
        ...

    def objective(self, model: Model) -> tuple[Objective, Weigh | None]:
        """What a step makes smaller, and what the images of a batch count for; None counts each as one."""
        ...

    def notes(self, objective: Objective) -> tuple[str, ...]:
        """A line on each thing that a person should know before training begins."""
        ...

    def training_batches(self, preprocessing: Preprocessing, plan: Plan, stage: Stage, world: World) -> Batches:
        """The batches of the training images in one stage, of which this process gets its part."""
        ...

    def judging_batches(self, split: Split, preprocessing: Preprocessing, batch_size: int, world: World) -> Batches:
        """The batches of a split's images as they are evaluated."""
        ...

    def evaluate_all(
        self,
        models: Sequence[Model],
        batches: Batches,
        each_batch: Callable[[], None] | None,
        world: World,
        quick: bool = False,
    ) -> Sequence[E]:
        """Several models on the images of `judging_batches`, each read once; `each_batch` is called after each batch.

        world: processes that share each batch; all of them get the figures of all images.
        quick: what weights are chosen by is enough.
        """
        ...

    def figures(self, sums: EpochSums) -> dict[str, float]:
        """What is logged of an epoch's training."""
        ...

    def on_terms_of(self, val: E, test: E) -> E:
        """The test evaluation with all that could be chosen on it, such as a threshold, as validation chose it."""
        ...

    def told(self, shown: E, val: E) -> Told:
        """What is shipped beside the figures. shown: the evaluation that is told, of test where there is one."""
        ...
