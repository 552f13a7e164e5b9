"""What a search found, trained as it was scored, and kept: a run like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from triscale.errors import TrainingError
from triscale.search.candidate import Candidate
from triscale.search.proxy import TrainingScore
from triscale.search.spread import Spread
from triscale.search.work import file_name
from triscale.spec.files import write_network
from triscale.spec.network import Network
from triscale.training.brief import brief_recipe
from triscale.training.loop import train
from triscale.training.progress import Progress
from triscale.training.run import RunFolder

FOLDER = "winner"
WEIGHTS = "model.safetensors"


def keep_winner(
    score: TrainingScore, winner: Candidate, steps: int, folder: Path, spread: Spread, progress: Progress
) -> str:
    """`train_winner`, where this process is one that trains; what was found stands also where that training fails.

    Returns: the file of the search's folder that is to be used: the winner's weights, else what it is.
    """
    if not spread.trains_here:
        progress.say("the winner is not trained here: the trainings of this search are the cluster's")
        return file_name(winner)
    try:
        place = train_winner(score, winner, steps, folder, progress)
    except TrainingError as error:
        progress.say(f"the winner was not kept trained: {error}")
        return file_name(winner)
    return f"{place.name}/{WEIGHTS}"


def train_winner(score: TrainingScore, winner: Candidate, steps: int, folder: Path, progress: Progress) -> Path:
    """Train a candidate for as many epochs as so many steps take, with seed 0, in `winner/` of a search's folder.

    A run that is done there is left as it is; one that was stopped goes on. Its figures are of validation images: test
    images are read once, by what the search is held against.
    Returns: the run's folder. Raises: what `train` does.
    """
    place, dataset = folder / FOLDER, replace(score.dataset, test=())
    recipe = replace(brief_recipe(score.recipe, len(dataset.train), steps), seed=0)
    asked = {
        "baseline": score.baseline.described(),
        "multipliers": winner.multipliers._asdict(),
        "recipe": recipe.to_table(),
    }
    with RunFolder.open(place, "search: the winner", asked, dataset.fingerprint) as run:
        if not run.is_done:
            progress.say(f"the winner is trained once more, and kept in {place}")
            if isinstance(winner.made, Network):
                write_network(replace(winner.made, classes=len(dataset.classes)), place / "network.json")
            train(score.fresh(winner, recipe.seed), dataset, recipe, run, progress)
            run.update(state="done", shipped=WEIGHTS)
    return place
