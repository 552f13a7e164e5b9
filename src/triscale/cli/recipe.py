"""`triscale recipe`: what a recipe says, as the TOML that `train --config` reads; and how `train` puts one together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from triscale.cli.output import print_json, print_table
from triscale.errors import FileError, TrainingError

if TYPE_CHECKING:
    from triscale.training.distillation import Distillation
    from triscale.training.recipe import Recipe


def recipe_command(
    name: str | None = None,
    *,
    network: str = "",
    config: Path | None = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    images: int | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Show the recipes, or all that one of them says, as TOML that `triscale train --config` reads.

    Example: triscale recipe efficientnet-v2 --network efficientnetv2_m --images 5000

    Parameters
    ----------
    name
        a recipe; without one, all of them are listed
    network
        the recipe as it is for this network, where the published settings differ between networks
    config
        a TOML file with a [recipe] table, whose values go before the recipe's
    changes
        KEY=VALUE for any key of the recipe, as often as needed: --set schedule=constant --set augmentation.flip=0.0
    images
        also say what the recipe comes to on so many training images
    json
        print JSON
    """
    import tomli_w

    from triscale.training.plan import plan_of
    from triscale.training.recipes import RECIPES

    if name is None and config is None and not changes:
        _print_all(RECIPES, json)
        return 0
    made = read_recipe(name, config, changes, network)
    notes = () if images is None else plan_of(made, images).notes
    if json:
        print_json({"recipe": made.to_table(), "notes": notes})
        return 0
    for note in notes:
        print(f"# {note}")
    print(tomli_w.dumps({"recipe": made.to_table()}), end="")
    return 0


def _print_all(recipes: Mapping[str, Recipe], json: bool) -> None:
    if json:
        print_json({name: each.to_table() for name, each in recipes.items()})
        return
    rows = [
        (name, str(each.epochs), str(each.batch_size), each.optimiser, f"{each.learning_rate:g}", each.schedule)
        for name, each in recipes.items()
    ]
    print_table(("recipe", "epochs", "batch", "optimiser", "rate at 256", "schedule"), rows)


def read_recipe(name: str | None, config: Path | None, changes: Sequence[str], network: str) -> Recipe:
    """The named recipe for a network, with what a file says over it, and single changes over that.

    name: None begins with what a recipe says by default. config: a TOML file with a [recipe] table.
    changes: KEY=VALUE each. Raises: TrainingError, or FileError naming the key.
    """
    from triscale.training.config import changed, merged, read_config
    from triscale.training.recipe import Recipe
    from triscale.training.recipes import recipe

    made = Recipe() if name is None else recipe(name, network)
    if config is not None:
        table = read_config(config).get("recipe")
        if not isinstance(table, dict):
            raise FileError(f"{config}: has no [recipe] table; `triscale recipe NAME` prints one.")
        base = {} if name is None else made.to_table()
        made = Recipe.from_table(merged(base, table), f"{config}: recipe")
    return changed(made, changes, "--set")


def with_options(recipe: Recipe, given: Mapping[str, Any], changes: Sequence[str], mirror: bool) -> Recipe:
    """A recipe with what options of their own say: `--epochs` is that many, however few the images are.

    given: by the recipe's names, and `teacher` for that of its distillation; None where an option was not given.
    mirror: False never mirrors an image.
    Raises: TrainingError where an option and `--set` say the same key.
    """
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        key = "distillation.teacher" if name == "teacher" else name
        if any(change.partition("=")[0].strip() == key for change in changes):
            raise TrainingError(f"--{name.replace('_', '-')} and --set {key} say the same; give one of them.")
    teacher = options.pop("teacher", None)
    if teacher is not None:
        options["distillation"] = _taught_by(recipe, teacher)
    recipe = replace(recipe, **options)
    if "epochs" in options:
        recipe = replace(recipe, least_steps=0)
    if not mirror:
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, flip=0.0, flip_vertical=0.0))
    if not mirror and recipe.detection is not None:
        still = replace(recipe.detection.augmentation, flip=0.0, flip_vertical=0.0)
        recipe = replace(recipe, detection=replace(recipe.detection, augmentation=still))
    return recipe


def with_detection(recipe: Recipe) -> Recipe:
    """The recipe with all that it says of a detector, which is as published where it says nothing."""
    from triscale.training.detection.settings import DetectionSettings

    return recipe if recipe.detection is not None else replace(recipe, detection=DetectionSettings())


def _taught_by(recipe: Recipe, teacher: str) -> Distillation:
    """The recipe's distillation with a teacher, whose path means the same from any folder."""
    from triscale.training.distillation import Distillation

    lasting = str(Path(teacher).resolve()) if Path(teacher).exists() else teacher
    return replace(recipe.distillation or Distillation(), teacher=lasting)
