"""Settings as TOML: strict, and the same after a round trip."""

from dataclasses import replace

import pytest

from triscale.errors import FileError, TrainingError
from triscale.training.config import differences, read_config, write_config
from triscale.training.recipe import Recipe
from triscale.training.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_a_file(tmp_path, name):
    recipe = replace(
        RECIPES[name], freeze=("stem",), ema_decay=0.99, augmentation=replace(RECIPES[name].augmentation, flip=0.25)
    )
    write_config(tmp_path / "config.toml", {"recipe": recipe.to_table()})
    assert Recipe.from_table(read_config(tmp_path / "config.toml")["recipe"]) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_left_out_is_what_is_none_by_default(name):
    assert Recipe.from_table(RECIPES[name].to_table()) == RECIPES[name]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"epoch": 3}, "config.toml, recipe: unknown key 'epoch'; did you mean 'epochs'?"),
        (
            {"augmentation": {"flips": 0.5}},
            "config.toml, recipe, augmentation: unknown key 'flips'; did you mean 'flip'?",
        ),
        ({"zzz": 1}, "unknown key 'zzz'; known keys: epochs, least_steps"),
        ({"epochs": "three"}, "config.toml, recipe: epochs: expected `int`, got `str`."),
        ({"optimiser": "adam"}, "config.toml, recipe: optimiser: invalid enum value 'adam'."),
    ],
)
def test_a_misspelt_key_or_a_wrong_type_is_named(table, said):
    with pytest.raises(FileError) as caught:
        Recipe.from_table(table, "config.toml, recipe")
    assert said in str(caught.value)


def test_a_value_that_cannot_be_is_named():
    with pytest.raises(TrainingError, match=r"Recipe.epochs must be at least 1, got 0."):
        Recipe.from_table({"epochs": 0})


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), ("a = = 1", "is not TOML")])
def test_a_file_that_is_missing_or_no_toml_is_one_line(tmp_path, content, said):
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FileError, match=said):
        read_config(path)


def test_differences_name_nested_settings():
    before, after = {"recipe": {"epochs": 3}, "size": (64, 64)}, {"recipe": {"epochs": 5}, "size": [64, 64], "top": 5}
    assert differences(before, after) == ["recipe.epochs was 3, is now 5", "top was 'not given', is now 5"]
