"""Learning from a teacher: the loss by hand, what is refused, and that it helps."""

import pytest
import torch
from torch import nn

from images import NAMES, make_folder, make_image
from training.tiny import plain_model, tiny_images, tiny_model, tiny_network, train_tiny
from triscale.data.dataset import read_dataset
from triscale.errors import FileError, RunError, TrainingError
from triscale.models.assembler import ConvNet
from triscale.models.files import load, save
from triscale.spec.card import ModelCard
from triscale.spec.preprocessing import Preprocessing
from triscale.training.answer import hits
from triscale.training.distillation import Distillation, Distilled, feature_loss, soft_loss
from triscale.training.mixing import Mixing
from triscale.training.objective import Supervised, objective_of
from triscale.training.optim import make_optimiser
from triscale.training.plan import plan_of
from triscale.training.prepare import norms_of
from triscale.training.recipe import Recipe
from triscale.training.run import read_run
from triscale.training.step import Stepper

CLASSES = NAMES[:3]  # apple, bridge, cloud


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"))


def teacher_file(folder, classes=CLASSES, channels=24, **preprocessing):
    torch.manual_seed(5)
    given = {"size": (32, 32), "crop": 1.0, **preprocessing}
    model = ConvNet(tiny_network(len(classes), channels), Preprocessing(**given), ModelCard(classes=classes))
    path = folder / "teacher.safetensors"
    save(model, path)
    return path


def distilled(path, student=None, **settings):
    return Distilled(Supervised(0.1), student or tiny_model(), Distillation(str(path), **settings), CLASSES, seed=0)


def test_the_gradient_is_that_of_hintons_paper():
    """dC/dz = T^2 / T * (softmax(z / T) - softmax(v / T)), the mean over a batch: section 2.1, times T^2."""
    torch.manual_seed(0)
    logits, wanted = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4)
    soft_loss(logits, wanted, 3.0).backward()
    by_hand = 3.0 * ((logits / 3).softmax(1) - (wanted / 3).softmax(1)) / 5
    torch.testing.assert_close(logits.grad, by_hand.detach())


def test_the_loss_is_the_divergence_by_its_definition():
    logits, wanted = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0 * torch.log(torch.tensor(3.0)), 0.0]])
    # at T = 2 the teacher says 3/4 and 1/4, the student 1/2 each
    expected = 4 * (0.75 * torch.log(torch.tensor(1.5)) + 0.25 * torch.log(torch.tensor(0.5)))
    assert soft_loss(logits, wanted, 2.0).item() == pytest.approx(expected.item())
    assert soft_loss(wanted, wanted, 2.0).item() == pytest.approx(0.0, abs=1e-6)


def test_features_are_measured_by_the_teachers_own_size():
    wanted = torch.randn(2, 3, 4, 4)
    assert feature_loss(torch.zeros_like(wanted), wanted).item() == pytest.approx(1.0)
    assert feature_loss(torch.zeros_like(wanted), 10 * wanted).item() == pytest.approx(1.0)
    assert feature_loss(wanted, wanted).item() == 0
    constant = torch.full((2, 3, 8, 8), 2.0)
    assert feature_loss(torch.full((2, 3, 4, 4), 3.0), constant).item() == pytest.approx(0.25)  # (3 - 2)^2 / 2^2


@pytest.mark.parametrize("mixed", [False, True])
def test_labels_have_what_the_teacher_leaves(tmp_path, mixed):
    path, student = teacher_file(tmp_path), tiny_model().eval()
    batch, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1, 2])
    targets = labels
    if mixed:
        batch, targets = Mixing(cutmix=1.0)(batch, labels, 3, seed=0, step=0)
        assert targets.shape == (6, 3)
    student.preprocessing = load(path).preprocessing
    loss, sums = distilled(path, student, weight=0.25, temperature=2.0)(student, batch, targets)
    with torch.no_grad():
        logits = student(batch)
        taught = soft_loss(logits, load(path)(batch), 2.0)
        labelled = nn.functional.cross_entropy(logits, targets, label_smoothing=0.1)
    torch.testing.assert_close(loss, 0.75 * labelled + 0.25 * taught)
    torch.testing.assert_close(sums["top1"], hits(logits, targets))


def test_a_teacher_that_knows_more_classes_in_another_order_is_asked_for_these(tmp_path):
    path = teacher_file(tmp_path, classes=("zebra", "cloud", "apple", "bridge"))
    objective = distilled(path, weight=1.0)
    assert objective.outputs.tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    ("classes", "found"),
    [(("apple", "pear", "plum"), "its 3 classes lack bridge, cloud"), ((), "it does not say what its outputs mean")],
)
def test_a_teacher_of_other_classes_gives_features_only(tmp_path, classes, found):
    path = teacher_file(tmp_path, classes=classes or CLASSES)
    if not classes:
        model = load(path)
        model.card = ModelCard()
        save(model, path)
    with pytest.raises(TrainingError, match=f"{found}.*distillation.weight = 0 and distillation.features = 1"):
        distilled(path)
    assert distilled(path, weight=0.0, features=1.0).outputs is None


def test_the_teacher_stays_as_it_is(tmp_path):
    path = teacher_file(tmp_path)
    model, recipe = tiny_model(), Recipe(batch_size=4)
    objective, before = distilled(path, model, features=0.5, maps=(2, 4)), load(path).state_dict()
    step = Stepper(model, objective, make_optimiser(model, "sgd", 0.1, 0.9, 0.0), recipe, plan_of(recipe, 40))
    model.train()
    step(0, torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]), ["x"])
    assert all(torch.equal(value, before[key]) for key, value in objective.teacher.state_dict().items())
    assert not objective.teacher.training
    assert all(p.grad is None and not p.requires_grad for p in objective.teacher.parameters())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
    assert norms_of(model)[0].num_batches_tracked.item() == 1


@pytest.mark.parametrize(("maps", "shapes"), [((), {"pooled": (32, 32)}), ((4,), {"stride 4": (24, 16)})])
def test_adapters_go_from_the_students_channels_to_the_teachers(tmp_path, maps, shapes):
    objective = distilled(teacher_file(tmp_path), features=1.0, maps=maps)
    assert {name: tuple(each.weight.shape[:2]) for name, each in objective.adapters.items()} == shapes
    again = distilled(tmp_path / "teacher.safetensors", features=1.0, maps=maps)
    assert all(map(torch.equal, objective.adapters.parameters(), again.adapters.parameters()))


def test_a_users_module_learns_the_pooled_features_and_has_no_named_maps(tmp_path):
    path, student = teacher_file(tmp_path), plain_model()
    objective = distilled(path, student, features=1.0)
    assert tuple(objective.adapters["pooled"].weight.shape[:2]) == (32, 8)
    loss, _ = objective(student, torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    assert all(p.grad is not None for p in (*student.parameters(), *objective.adapters.parameters()))
    with pytest.raises(TrainingError, match="is a module of your own, whose maps have no names"):
        distilled(path, student, features=1.0, maps=(4,))


def test_a_map_that_is_not_there_names_those_that_are(tmp_path):
    with pytest.raises(TrainingError, match=r"tiny has no map at stride 7; distillation.maps takes 2, 4"):
        distilled(teacher_file(tmp_path), features=1.0, maps=(7,))


def test_adapters_train_with_the_student_and_are_in_no_saved_model(tmp_path, images):
    taught = Distillation(str(teacher_file(tmp_path)), features=1.0)
    settings = {"epochs": 1, "distillation": taught}
    train_tiny(images, tmp_path / "run", **settings)
    saved = load(tmp_path / "run" / "model.safetensors")
    assert set(saved.state_dict()) == set(tiny_model().state_dict())
    objective = objective_of(Recipe(distillation=taught), read_dataset(images), tiny_model(), None)
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*.safetensors"))
    import safetensors.torch

    kept = safetensors.torch.load_file(newest)
    assert not torch.equal(kept["adapters.pooled.weight"], objective.adapters["pooled"].weight)


def test_where_labels_are_wrong_a_student_with_a_teacher_beats_one_without(tmp_path):
    """7 of 16 labels of each class are wrong; its teacher learnt from 24 right ones. So it is at seeds 1 and 2."""
    right = make_folder(tmp_path / "right", classes=3, splits={"train": 24, "val": 6})
    wrong = make_folder(tmp_path / "wrong", classes=3, splits={"train": 16, "val": 30})
    for label in range(3):
        for number in range(7):
            image = make_image((label + 1) % 3, 100 + number)
            image.save(wrong / "train" / NAMES[label] / f"{number:03d}.png")
    train_tiny(right, tmp_path / "teacher")
    alone = train_tiny(wrong, tmp_path / "alone")
    taught = train_tiny(wrong, tmp_path / "taught", distillation=Distillation(str(tmp_path / "teacher"), weight=0.9))
    assert taught.val.loss < alone.val.loss / 2
    assert taught.val.top1 >= alone.val.top1


def test_another_teacher_in_the_same_place_is_refused(tmp_path, images):
    path = teacher_file(tmp_path)
    settings = {"epochs": 1, "distillation": Distillation(str(path))}
    train_tiny(images, tmp_path / "run", **settings)
    assert len(read_run(tmp_path / "run").arguments["teacher_sha256"]) == 64
    teacher_file(tmp_path, channels=8)
    with pytest.raises(RunError, match="teacher_sha256 was"):
        train_tiny(images, tmp_path / "run", **settings)


@pytest.mark.parametrize(
    ("field", "value"),
    [("weight", 1.5), ("weight", 0.0), ("temperature", 0.0), ("features", -1.0), ("maps", (8,))],
)
def test_settings_that_cannot_be_are_refused_by_name(field, value):
    with pytest.raises(TrainingError, match=rf"Distillation\.{field} must be"):
        Distillation(**{field: value})


def test_a_recipe_with_a_teacher_reads_back_from_its_table():
    recipe = Recipe(distillation=Distillation("runs/teacher", weight=0.0, features=0.5, maps=(8, 16)))
    assert Recipe.from_table(recipe.to_table()) == recipe


def test_a_teacher_that_is_not_there_is_one_line(tmp_path):
    (tmp_path / "teacher.safetensors").touch()
    with pytest.raises(FileError, match=r"no such teacher; nearby in .*: teacher.safetensors"):
        distilled(tmp_path / "teachr.safetensors")
    with pytest.raises(TrainingError, match="has no teacher; give --teacher MODEL"):
        distilled("")
