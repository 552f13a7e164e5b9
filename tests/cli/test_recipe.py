"""`recipe`, and how `train` takes a recipe from a name, a file and single keys."""

import json
import tomllib

import pytest

from tests.cli.test_train import arguments, net  # noqa: F401
from tests.fitted import refusal, triscale
from triscale.training.config import read_config, write_config
from triscale.training.recipe import Recipe
from triscale.training.recipes import RECIPES, recipe


def shown(*words):
    done = triscale("recipe", *words)
    assert (done.code, done.err) == (0, "")
    return Recipe.from_table(tomllib.loads(done.out)["recipe"])


def test_every_recipe_is_listed():
    lines = triscale("recipe").out.splitlines()
    assert lines[0].split() == ["recipe", "epochs", "batch", "optimiser", "rate", "at", "256", "schedule"]
    assert lines[1].split() == ["efficientnet-v1", "350", "2048", "rmsprop_tf", "0.016", "staircase"]
    assert [line.split()[0] for line in lines[1:]] == list(RECIPES)
    assert set(json.loads(triscale("recipe", "--json").out)) == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_shown_reads_back_to_the_recipe(name, tmp_path):
    assert shown(name) == RECIPES[name]
    (tmp_path / "recipe.toml").write_text(triscale("recipe", name).out)
    assert shown("--config", tmp_path / "recipe.toml") == RECIPES[name]


def test_a_network_has_its_own_settings():
    assert shown("efficientnet-v2", "--network", "tf_efficientnetv2_m") == recipe("efficientnet-v2", "efficientnetv2_m")
    assert shown("efficientnet-v2", "--network", "tf_efficientnetv2_m") != recipe("efficientnet-v2")


def test_images_say_what_it_comes_to():
    first = triscale("recipe", "small-data", "--images", "640").out.splitlines()[0]
    assert first == "# learning rate 0.002: 0.004 at a batch of 256, scaled by the square root of batch to 64"
    found = json.loads(triscale("recipe", "small-data", "--images", "640", "--json").out)
    assert found["recipe"]["epochs"] == 60
    assert found["notes"][1].startswith("EMA decay")


def test_a_file_goes_over_the_name_and_single_keys_over_the_file(tmp_path):
    (tmp_path / "mine.toml").write_text("[recipe]\nepochs = 5\nseed = 3\n[recipe.augmentation]\nflip = 0.0\n")
    found = shown("small-data", "--config", tmp_path / "mine.toml", "--set", "seed=4", "--set", "progressive.stages=2")
    small = RECIPES["small-data"]
    assert (found.epochs, found.seed, found.progressive.stages) == (5, 4, 2)
    assert (found.learning_rate, found.augmentation.flip) == (small.learning_rate, 0.0)
    assert found.augmentation.crop_area == small.augmentation.crop_area  # the file says only one key of this table


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("best",), "unknown recipe 'best'; choose one of efficientnet-v1, efficientnet-v2"),
        (("quick", "--set", "batchsize=3"), "--set: unknown key 'batchsize'; did you mean 'batch_size'?"),
        (("quick", "--set", "augmentation.flips=1"), "--set, augmentation: unknown key 'flips'; did you mean 'flip'?"),
        (("quick", "--set", "epochs"), "'epochs' is no KEY=VALUE; write epochs=20"),
        (("quick", "--set", "epochs=0"), "Recipe.epochs must be at least 1, got 0."),
        (("quick", "--set", "progressive.first=below"), "progressive.first: 'below' is not one of above, at; choose"),
        (("quick", "--images", "0"), "there are no training images"),
        (("--config", "missing.toml"), "missing.toml: cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refusal("recipe", *words)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[recipe]\nepoch = 3\n", "mine.toml: recipe: unknown key 'epoch'; did you mean 'epochs'?"),
        ("epochs = 3\n", "mine.toml: has no [recipe] table; `triscale recipe NAME` prints one."),
        ("[recipe.augmentation]\nflips = 3\n", "mine.toml: recipe, augmentation: unknown key 'flips'"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, said):
    (tmp_path / "mine.toml").write_text(text)
    assert said in refusal("recipe", "quick", "--config", tmp_path / "mine.toml")


def test_train_takes_name_file_keys_and_options(net, images, tmp_path):  # noqa: F811
    write_config(tmp_path / "mine.toml", {"recipe": {"seed": 5, "clip": 1.0, "weight_decay": 0.5}})
    words = ("--recipe", "small-data", "--config", tmp_path / "mine.toml", "--set", "weight_decay=0.1",
             "--set", "mixup=0.2", "--set", "progressive.smallest=16", "--set", "balance=sampling")  # fmt: skip
    done = triscale(*arguments(net, images, tmp_path / "run", *words))
    assert done.code == 0, done
    made = Recipe.from_table(read_config(tmp_path / "run" / "config.toml")["recipe"])
    assert (made.epochs, made.least_steps, made.batch_size) == (2, 0, 8)  # from options of their own
    assert (made.seed, made.clip, made.weight_decay, made.mixup) == (5, 1.0, 0.1, 0.2)
    assert made.learning_rate == RECIPES["small-data"].learning_rate
    assert "stage 4 of 4: images of 32x32 pixels" in done.err
    again = triscale(*arguments(net, images, tmp_path / "run", *words))
    assert (again.code, again.err) == (0, f"{tmp_path / 'run'}: is done already\n")
    assert "recipe.mixup was 0.2, is now 0.0" in refusal(
        *arguments(net, images, tmp_path / "run", *words, "--set", "mixup=0.0")
    )


def test_an_option_and_a_key_that_say_the_same_are_refused(net, images, tmp_path):  # noqa: F811
    said = refusal(*arguments(net, images, tmp_path / "run", "--set", "epochs=3"))
    assert said == "triscale: --epochs and --set epochs say the same; give one of them."
    assert not (tmp_path / "run").exists()


def test_an_unknown_key_is_refused_before_anything_is_read(net, tmp_path):  # noqa: F811
    said = refusal("train", net, tmp_path / "nothing", "--out", tmp_path / "run", "--set", "learning_rte=0.1")
    assert said == "triscale: --set: unknown key 'learning_rte'; did you mean 'learning_rate'?"
