"""A student learns what its teacher knows: the gradient, what stays as it was, resuming, and whether it helps."""

import dataclasses
import os
import signal

import pytest
import torch
from torch import nn

from training.tiny import tiny_images, tiny_model, train_tiny
from triscale.data.dataset import read_dataset
from triscale.errors import RunError, TrainingError
from triscale.models.files import load
from triscale.training.distillation import Distillation, Distilled, divergence
from triscale.training.objective import Supervised
from triscale.training.progress import SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.teacher import Teacher

CLASSES = ("apple", "bridge", "cloud")
STUDENT = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
TEACHER = torch.tensor([[0.5, 1.0, 0.0], [3.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 2])


class StopAt(SilentProgress):
    """Sends Ctrl-C to this process after so many steps."""

    def __init__(self, step):
        self.left = step

    def advance(self, steps=1, detail=""):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def distilled(columns=(0, 1, 2), **settings):
    model = tiny_model()
    teacher = Teacher(Answer(TEACHER), model.preprocessing, CLASSES, "")
    return Distilled(
        Supervised().loss, Distillation("t", **settings), teacher, model.preprocessing, torch.tensor(columns), None
    )


class Answer(nn.Module):
    """Says the same to any images."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, _images):
        return self.logits


def loss_of(objective, logits=STUDENT):
    return objective(lambda _: logits, torch.zeros(2, 3, 32, 32), LABELS)[0]


def test_with_weight_one_and_temperature_one_the_gradient_is_the_difference_of_probabilities():
    logits = STUDENT.clone().requires_grad_()
    loss_of(distilled(weight=1.0, temperature=1.0), logits).backward()
    torch.testing.assert_close(logits.grad, (STUDENT.softmax(1) - TEACHER.softmax(1)) / 2)  # mean of two images
    same = TEACHER.clone().requires_grad_()
    loss_of(distilled(weight=1.0, temperature=1.0), same).backward()
    assert same.grad.abs().max() < 1e-7


def test_at_a_high_temperature_the_gradient_is_that_of_matching_logits():
    # Hinton et al. 2015, eq. 4: T^2 * (1 / (N T^2)) (z - v) for logits of mean zero, N classes
    student, teacher = (each - each.mean(1, keepdim=True) for each in (STUDENT, TEACHER))
    student.requires_grad_()
    divergence(student, teacher, 1e3).backward()
    torch.testing.assert_close(student.grad, (student.detach() - teacher) / 3 / 2, atol=2e-3, rtol=0)


def test_labels_and_answers_share_the_loss_by_weight():
    own = nn.functional.cross_entropy(STUDENT, LABELS)
    taught = divergence(STUDENT, TEACHER, 2.0)
    found = loss_of(distilled(weight=0.25, temperature=2.0))
    assert found.item() == pytest.approx((0.75 * own + 0.25 * taught).item())


def test_the_teachers_outputs_are_taken_in_the_order_of_the_students_classes():
    turned = divergence(STUDENT, TEACHER[:, [2, 0, 1]], 2.0)
    assert loss_of(distilled((2, 0, 1), weight=1.0)).item() == pytest.approx(turned.item())


def test_the_teacher_gets_no_gradient():
    objective = distilled()
    loss_of(objective, STUDENT.clone().requires_grad_()).backward()
    assert objective.teacher.model.logits.grad is None


@pytest.mark.parametrize(
    "wrong", [{"weight": 1.5}, {"temperature": 0.0}, {"features": -1.0}, {"weight": 0.0}, {"strides": (8, 8)}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(TrainingError, match=f"Distillation.{next(iter(wrong))}"):
        Distillation("big", **wrong)


def test_a_distillation_survives_a_file():
    made = Recipe(distillation=Distillation("big", features=0.5, strides=(8, 16)))
    assert Recipe.from_table(made.to_table()) == made


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def teacher(images, tmp_path_factory):
    """A wider network that knows these images."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    return Teacher.of(train_tiny(images, folder, tiny_model(channels=32), epochs=6).model)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


BOTH = Distillation("big", features=0.5, strides=(2, 4))


def test_a_distilled_run_that_was_stopped_ends_the_same(images, teacher, tmp_path):
    before = {key: value.clone() for key, value in teacher.model.state_dict().items()}
    given = {"teacher": teacher, "distillation": BOTH, "epochs": 3, "head_epochs": 0.6, "layer_decay": 0.5}
    train_tiny(images, tmp_path / "a", **given)
    for step in (4, 14):
        with pytest.raises(KeyboardInterrupt):
            train_tiny(images, tmp_path / "b", progress=StopAt(step), **given)
        torch.manual_seed(99)  # the second stop lies behind the phase in which only classifier and adapters train
    train_tiny(images, tmp_path / "b", **given)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert all(torch.equal(value, before[key]) for key, value in teacher.model.state_dict().items())
    names = load(tmp_path / "a" / "model.safetensors").state_dict()
    assert set(names) == set(tiny_model().state_dict())  # adapters stay behind


def test_another_teacher_does_not_resume_the_run(images, teacher, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "run", progress=StopAt(3), teacher=teacher, distillation=BOTH)
    other = dataclasses.replace(teacher, sha256="0" * 64)
    with pytest.raises(RunError, match=r"recipe.distillation.sha256 was '.{64}', is now '0{64}'"):
        train_tiny(images, tmp_path / "run", teacher=other, distillation=BOTH)


def test_what_does_not_belong_together_is_one_line(images, teacher, tmp_path):
    with pytest.raises(TrainingError, match="there is no teacher; give one"):
        train_tiny(images, tmp_path / "run", distillation=BOTH)
    with pytest.raises(TrainingError, match="the recipe has no distillation"):
        train_tiny(images, tmp_path / "run", teacher=teacher)
    with pytest.raises(TrainingError, match=r"has hash .{12}, the recipe was made with abc"):
        train_tiny(images, tmp_path / "run", teacher=teacher, distillation=Distillation("big", "abc"))
    with pytest.raises(TrainingError, match="does not know 3 of 3 classes, 'apple' first; it knows dog"):
        stranger = dataclasses.replace(teacher, classes=("dog", "cat", "fish"))
        train_tiny(images, tmp_path / "run", teacher=stranger, distillation=BOTH)
    assert not (tmp_path / "run").exists()


def test_features_alone_need_no_classes_in_common(images, teacher, tmp_path):
    stranger = dataclasses.replace(teacher, classes=("dog", "cat", "fish"))
    features = Distillation("big", weight=0.0, features=1.0)
    result = train_tiny(images, tmp_path / "run", teacher=stranger, distillation=features, epochs=1)
    assert result.model.card.classes == CLASSES


def test_a_taught_student_beats_one_that_has_wrong_labels_alone(images, teacher, tmp_path):
    # Two of three labels in training are wrong by turns; the teacher learnt from true ones. Both see the same batches.
    clean = read_dataset(images)
    noisy = dataclasses.replace(
        clean,
        train=tuple(
            dataclasses.replace(each, label=(each.label + number % 3) % 3) for number, each in enumerate(clean.train)
        ),
    )
    alone = train_tiny(noisy, tmp_path / "alone", epochs=6)
    taught = train_tiny(
        noisy, tmp_path / "taught", teacher=teacher, distillation=Distillation("big", weight=1.0), epochs=6
    )
    assert taught.val.top1 >= 0.9
    assert alone.val.top1 <= 0.67
