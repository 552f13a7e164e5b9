"""Settings as TOML: strict, and the same after a round trip."""

import tomllib
from dataclasses import replace

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from triscale.data.augment import Augmentation
from triscale.errors import FileError, TrainingError
from triscale.training.config import changed, differences, merged, read_config, write_config
from triscale.training.optim import OPTIMISERS
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe
from triscale.training.recipes import RECIPES
from triscale.training.schedule import SCHEDULES


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
        (
            {"optimiser": "adam"},
            "config.toml, recipe: optimiser: 'adam' is not one of sgd, adamw, rmsprop_tf; choose one of them.",
        ),
    ],
)
def test_a_misspelt_key_or_a_wrong_type_is_named(table, said):
    with pytest.raises(FileError) as caught:
        Recipe.from_table(table, "config.toml, recipe")
    assert said in str(caught.value)


RANGE = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9))
AUGMENTATIONS = st.builds(
    Augmentation,
    crop_area=st.tuples(st.floats(0.01, 0.5), st.floats(0.5, 1.0)),
    flip=st.floats(0, 1),
    autoaugment=st.booleans(),
    randaugment_layers=st.integers(1, 4),
    randaugment_magnitude=st.floats(0, 30),
    erase=st.floats(0, 1),
)
PROGRESSIVE = st.builds(
    Progressive,
    stages=st.integers(1, 9),
    smallest=st.integers(1, 512),
    first=st.sampled_from(["above", "at"]),
    randaugment=st.none() | RANGE,
    mixup=st.none() | RANGE,
    cutmix=st.none() | RANGE,
    dropout=st.none() | RANGE,
)
RECIPE = st.builds(
    Recipe,
    epochs=st.integers(1, 1000),
    least_steps=st.integers(0, 10**9),
    batch_size=st.integers(1, 2**20),
    optimiser=st.sampled_from(OPTIMISERS),
    learning_rate=st.floats(1e-9, 1e3),
    schedule=st.sampled_from(SCHEDULES),
    decay_rate=st.floats(0.01, 1),
    decay_biases=st.booleans(),
    ema_decay=st.none() | st.floats(0, 0.9999),
    dropout=st.none() | st.floats(0, 0.9),
    drop_connect=st.none() | st.floats(0, 0.9),
    augmentation=AUGMENTATIONS,
    mixup=st.floats(0, 10),
    progressive=st.none() | PROGRESSIVE,
    balance=st.sampled_from(["none", "weights", "sampling"]),
    norm_momentum=st.floats(0, 1),
    freeze=st.lists(st.text(min_size=1), max_size=3).map(tuple),
    seed=st.integers(0, 2**63 - 1),
    reference_images=st.integers(0, 10**9),
)


@given(RECIPE)
def test_any_recipe_is_the_same_after_a_table_and_after_toml(recipe):
    assert Recipe.from_table(recipe.to_table()) == recipe
    assert Recipe.from_table(tomllib.loads(tomli_w.dumps(recipe.to_table()))) == recipe


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["epochs=7"], {"epochs": 7}),
        (["learning_rate = 1"], {"learning_rate": 1.0}),
        (["schedule=staircase", 'optimiser="sgd"'], {"schedule": "staircase", "optimiser": "sgd"}),
        (["channels_last=false", 'freeze=["stem", "head"]'], {"channels_last": False, "freeze": ("stem", "head")}),
        (["augmentation.flip=0.0", "augmentation.crop_area=[0.5, 1]"],
         {"augmentation": Augmentation(flip=0.0, crop_area=(0.5, 1.0))}),
        (["progressive.smallest=32", "progressive.mixup=[0, 0.2]"],
         {"progressive": Progressive(smallest=32, mixup=(0.0, 0.2))}),
        (["ema_decay=0.9", "ema_decay=none", "balance=none"], {"ema_decay": None, "balance": "none"}),
        (["epochs=3", "epochs=4"], {"epochs": 4}),
    ],
)  # fmt: skip
def test_single_keys_are_changed(changes, expected):
    assert changed(Recipe(), changes, "--set") == Recipe(**expected)


def test_a_table_is_taken_back_as_a_whole():
    assert changed(Recipe(progressive=Progressive(), dropout=0.5), ["progressive=none", "dropout=none"], "") == Recipe()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("epoch=3", "--set: unknown key 'epoch'; did you mean 'epochs'?"),
        ("augmentation.flips=0", "--set, augmentation: unknown key 'flips'; did you mean 'flip'?"),
        ("progressive.stage=2", "--set, progressive: unknown key 'stage'; did you mean 'stages'?"),
        ("epochs", "--set: 'epochs' is no KEY=VALUE; write epochs=20 or augmentation.flip=0.0."),
        ("=3", "--set: '=3' is no KEY=VALUE; write epochs=20 or augmentation.flip=0.0."),
        ("augmentation.=3", "--set: 'augmentation.=3' is no KEY=VALUE"),
        ("epochs.x=3", "--set: 'epochs' is one value and has no 'x'; write epochs=VALUE."),
        ("epochs=", "--set: epochs: '' is no value; write a number"),
        ("epochs=1,2", "--set: epochs: '1,2' is no value"),
        ("epochs=3\nseed = 4", "is no value"),
        ("epochs=three", "--set: epochs: expected `int`, got `str`."),
        ("epochs=none", "--set: epochs: expected `int`, got `str`."),
        ("balance=class", "--set: balance: 'class' is not one of none, weights, sampling; choose one of them."),
        ("augment_on=gpu", "--set: augment_on: 'gpu' is not one of host, device; choose one of them."),
        ("progressive=4", "--set: progressive: expected `object | null`, got `int`."),
        ("augmentation.crop_area=[0.5]", "--set: augmentation.crop_area: expected `array` of length 2, got 1."),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_named(change, said):
    with pytest.raises(FileError) as caught:
        changed(Recipe(), [change], "--set")
    assert said in str(caught.value)


def test_one_table_goes_over_another_key_by_key():
    over = {"epochs": 2, "augmentation": {"flip": 0.0}, "progressive": {"stages": 2}}
    assert merged({"epochs": 1, "seed": 3, "augmentation": {"flip": 0.5, "erase": 0.1}}, over) == {
        "epochs": 2, "seed": 3, "augmentation": {"flip": 0.0, "erase": 0.1}, "progressive": {"stages": 2},
    }  # fmt: skip


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
