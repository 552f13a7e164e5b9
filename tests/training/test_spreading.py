"""Two processes that train together do what one does, and one line says what goes wrong between them."""

import os
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from training.test_distillation import teacher_file
from training.tiny import tiny_images, tiny_network
from triscale.data.augment import Augmentation
from triscale.spec.files import write_network
from triscale.training.distillation import Distillation  # noqa: F401, for what `train` runs
from triscale.training.run import RunFolder, read_log, read_run

# What the number of processes may not change: no random numbers are drawn in the network. 20 steps and more.
SETTLED = {
    "optimiser": "sgd",
    "learning_rate": 0.5,
    "epochs": 3,
    "dropout": 0.0,
    "drop_connect": 0.0,
    "augmentation": Augmentation(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip=0.0),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"), val=5)  # 15: no multiple of a batch, nor of two


def train(forks, images, folder, size=2, settings="SETTLED", more=""):
    code = f"""
from training.pairs import together
together('''
from training.test_spreading import *
from training.tiny import train_tiny
train_tiny({str(images)!r}, {str(folder)!r}, **{settings} | dict({more}))
''', {size})
"""
    return forks.run(code)


def steps_logged(folder):
    path = folder / "log.jsonl"
    return path.read_bytes().count(b'"event":"step"') if path.exists() else 0


def losses(folder):
    return [each["loss"] for each in read_log(folder) if each["event"] == "step"]


def last_tensors(folder):
    return load_file(max((folder / "checkpoints").glob("step-*.safetensors")))


def furthest(first, second, kind):
    """The largest difference between tensors of two checkpoints whose names contain `kind`."""
    pairs = [(first[name], second[name]) for name in first if kind in name and first[name].is_floating_point()]
    assert pairs
    return max(float((one - other).abs().max()) for one, other in pairs)


@pytest.mark.parametrize("batch", [8, 9])  # of 9, one process takes four and the other five
def test_two_processes_do_what_one_does(images, tmp_path, forks, batch):
    assert train(forks, images, tmp_path / "one", 1, more=f"batch_size={batch}") == (0, "")
    assert train(forks, images, tmp_path / "two", 2, more=f"batch_size={batch}") == (0, "")
    one, two = last_tensors(tmp_path / "one"), last_tensors(tmp_path / "two")
    assert len(losses(tmp_path / "one")) >= 20
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert one.keys() == two.keys()
    assert furthest(one, two, "model.") < 1e-4
    assert furthest(one, two, "running_") < 1e-4
    assert furthest(one, two, "ema.") < 1e-4
    assert read_run(tmp_path / "two").state == "done"


def test_without_synchronisation_they_do_not(images, tmp_path, forks):
    assert train(forks, images, tmp_path / "one", 1) == (0, "")
    assert train(forks, images, tmp_path / "two", 2, more="sync_norms=False") == (0, "")
    one, two = last_tensors(tmp_path / "one"), last_tensors(tmp_path / "two")
    assert furthest(one, two, "model.") > 1e-2
    assert losses(tmp_path / "two") != pytest.approx(losses(tmp_path / "one"), abs=1e-2)


RESTLESS = {  # all that draws random numbers, and that keeps something from step to step
    "epochs": 4,
    "learning_rate": 0.02,
    "mixup": 0.2,
    "cutmix": 0.5,
    "drop_connect": 0.2,
    "augmentation": Augmentation(crop_area=(0.6, 1.0)),
    "checkpoint_steps": 4,
}


@pytest.fixture(scope="module")
def undisturbed(forks, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(forks, images, folder, settings="RESTLESS") == (0, "")
    return weights(folder)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def restless(images, folder, pids, before="", more="", size=2):
    """Code that trains in `size` processes, each of which says its number in a file first."""
    return f"""
from training.pairs import together
together('''
import os
from pathlib import Path
from training.test_spreading import *
from training.tiny import train_tiny
Path(f"{pids}-{{rank}}").write_text(str(os.getpid()))
{before}
train_tiny({str(images)!r}, {str(folder)!r}, **RESTLESS | dict({more}))
''', {size})
"""


def reach(folder, steps):
    """Wait until so many steps are in the log."""
    patience = time.monotonic() + 60
    while steps_logged(folder) < steps and time.monotonic() < patience:
        time.sleep(0.001)


@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_is_killed_and_the_same_command_ends_the_same(images, undisturbed, tmp_path, forks, victim):
    folder, pids = tmp_path / "run", tmp_path / "pids"
    code = restless(images, folder, pids)
    forks.begin(code)
    reach(folder, 10 + 7 * victim)
    forks.kill(int(Path(f"{pids}-{victim}").read_text()))
    status, said = forks.end()
    assert status == -9
    if victim == 1:
        assert "rank 0: another process of this training has ended or does not answer" in said
        assert read_run(folder).state == "failed"
    assert forks.run(code)[0] == 0
    assert weights(folder) == undisturbed
    assert (folder / "log.jsonl").read_text().count('"resumed"') == 1


def test_one_of_two_is_told_to_stop_and_both_do_at_the_same_step(images, undisturbed, tmp_path, forks):
    folder, pids = tmp_path / "run", tmp_path / "pids"
    code = restless(images, folder, pids)
    forks.begin(code)
    reach(folder, 6)
    for _ in range(2):  # as a launcher does that sends on what everybody got already
        os.kill(int(Path(f"{pids}-1").read_text()), signal.SIGTERM)
    status, said = forks.end()
    assert (status, sorted(said.splitlines())) == (130, ["rank 0 ended with 130", "rank 1 ended with 130"])
    assert read_run(folder).state == "interrupted"
    stopped = max(int(each.stem.removeprefix("step-")) for each in (folder / "checkpoints").glob("step-*.json"))
    assert forks.run(code) == (0, "")
    assert next(each for each in read_log(folder) if each["event"] == "resumed")["step"] == stopped
    assert weights(folder) == undisturbed


def test_two_that_were_asked_for_different_things_stop_at_once(images, tmp_path, forks):
    status, said = forks.run(restless(images, tmp_path / "run", tmp_path / "pids", more="label_smoothing=rank / 10"))
    assert status == 2
    assert "rank 0: process 1 has another recipe than process 0" in said
    assert "rank 1: the processes were asked for different things; process 0 says what." in said


def test_a_batch_smaller_than_the_number_of_processes_is_refused(images, tmp_path, forks):
    status, said = forks.run(restless(images, tmp_path / "run", tmp_path / "pids", more="batch_size=1"))
    assert status == 2
    assert "rank 0: a batch of 1 cannot be shared by 2 processes; raise batch_size, or start fewer of them." in said

    more = "batch_size=8, accumulate=5"
    status, said = forks.run(restless(images, tmp_path / "other", tmp_path / "pids", more=more))
    assert status == 2
    assert "rank 0: a batch of 8 cannot be shared by 2 processes in 5 parts each;" in said


def test_summed_gradients_of_parts_are_those_of_one_process(images, tmp_path, forks):
    more = "batch_size=8, accumulate=2, norms='frozen', epochs=1"
    assert train(forks, images, tmp_path / "one", 1, more=more) == (0, "")
    assert train(forks, images, tmp_path / "two", 2, more=more) == (0, "")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert furthest(last_tensors(tmp_path / "one"), last_tensors(tmp_path / "two"), "model.") < 1e-4


def test_a_folder_in_use_is_said_by_the_first_process(images, tmp_path, forks):
    with RunFolder.open(tmp_path / "run", "train", {}):
        status, said = forks.run(restless(images, tmp_path / "run", tmp_path / "pids"))
    assert status == 2
    assert f"rank 0: {tmp_path / 'run'}: in use by process {os.getpid()}" in said
    assert "rank 1: process 0 cannot go on; it says why." in said


def test_a_value_that_is_not_finite_stops_both_and_is_named(images, tmp_path, forks):
    before = """
from triscale.data.loader import Batches
make = Batches._make
def broken(self, index, epoch):
    item = make(self, index, epoch)
    return item._replace(values=item.values * float("nan")) if rank == 1 and epoch == 1 else item
Batches._make = broken
"""
    status, said = forks.run(restless(images, tmp_path / "run", tmp_path / "pids", before))
    assert status == 2
    for rank in (0, 1):
        assert f"rank {rank}: step 10 (epoch 2, batch 1): not finite, first in the images (process 1);" in said
    last = read_log(tmp_path / "run")[-1]
    assert (last["event"], len(last["files"])) == ("not_finite", 4)


def test_compressed_gradients_train_too(images, tmp_path, forks):
    assert train(forks, images, tmp_path / "plain", more="epochs=1") == (0, "")
    assert train(forks, images, tmp_path / "run", more="epochs=1, compress='fp16'") == (0, "")
    plain, rounded = last_tensors(tmp_path / "plain"), last_tensors(tmp_path / "run")
    assert 0 < furthest(plain, rounded, "model.") < 2e-2
    status, said = train(forks, images, tmp_path / "other", more="compress='bf16'")
    assert status == 2
    assert 'rank 0: Recipe.compress: "bf16" is for GPUs; give "fp16" or "none" on a CPU.' in said


def test_going_on_with_another_number_of_processes_is_said(images, tmp_path, forks):
    folder = tmp_path / "run"
    forks.begin(restless(images, folder, tmp_path / "pids"))
    reach(folder, 6)
    os.kill(int(Path(f"{tmp_path / 'pids'}-0").read_text()), signal.SIGTERM)
    assert forks.end()[0] == 130
    assert train(forks, images, folder, 1, settings="RESTLESS") == (0, "")
    notes = next(each for each in read_log(folder) if each["event"] == "resumed")["notes"]
    assert any(note.startswith("processes was 2 when this run began and is 1 now") for note in notes)
    assert read_run(folder).state == "done"


def test_every_image_is_evaluated_once_with_the_figures_of_one_process(images, tmp_path, forks):
    code = f"""
from training.pairs import together
together('''
import numpy
from training.tiny import tiny_model
from triscale.data.dataset import read_dataset
from triscale.data.loader import Batches
from triscale.training.evaluate import evaluate
from triscale.training.world import joined
dataset, model = read_dataset({str(images)!r}), tiny_model()
alone = evaluate(model, Batches(dataset.val, model.preprocessing, 7).epoch(0), dataset.classes)
with joined() as world:
    parts = Batches(dataset.val, model.preprocessing, 7, part=world.part).epoch(0)  # 7, 7 and 1: for one, none
    found = evaluate(model, parts, dataset.classes, world)
assert found.indices.tolist() == list(range(15)) and found.labels.tolist() == alone.labels.tolist()
assert (found.top1, found.top5, found.per_class) == (alone.top1, alone.top5, alone.per_class)
assert abs(found.loss - alone.loss) < 1e-6
assert (found.confusion == alone.confusion).all()
numpy.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-6)
''')
"""
    status, said = forks.run(code)
    assert (status, said) == (0, ""), said


def test_the_command_speaks_and_writes_once(images, tmp_path, forks):
    network, out = tmp_path / "net.json", tmp_path / "run"
    write_network(tiny_network(), network)
    words = ["train", str(network), str(images), "--out", str(out), "--epochs", "1", "--batch-size", "8"]

    def run(words):
        code = f"""
from training.pairs import together
together('''
import os, sys
os.environ["TORCHELASTIC_RUN_ID"] = "none"
from triscale.cli.main import main
sys.stderr = sys.stdout
code = main({words!r})
if code:
    raise SystemExit(code)
''')
"""
        status, said = forks.run(code)
        return status, said.splitlines()

    status, said = run(words)
    assert status == 0
    assert said[0].startswith("2 processes: each takes 4 images of every batch of 8")
    assert [line.endswith("of 15 validation images; " + str(out / "model.safetensors")) for line in said[-1:]] == [True]
    assert len(said) == len(set(said))
    assert not list(out.rglob(".*.part"))
    assert run(words) == (0, [f"{out}: is done already"])
    status, said = run([*words, "--set", "learning_rte=1"])
    wrong = "--set: unknown key 'learning_rte'; did you mean 'learning_rate'?"
    for who in ("triscale", "triscale, process 1"):
        assert f"{who}: {wrong}" in " ".join(said)  # one may speak before the other's line ends


def test_two_students_of_one_teacher_are_one(images, tmp_path, forks):
    """By its answers; features are measured by the teacher's size in a process's own images, so theirs are not."""
    taught = f"batch_size=8, epochs=1, distillation=Distillation({str(teacher_file(tmp_path))!r}"
    assert train(forks, images, tmp_path / "one", 1, more=f"{taught})") == (0, "")
    assert train(forks, images, tmp_path / "two", 2, more=f"{taught})") == (0, "")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert furthest(last_tensors(tmp_path / "one"), last_tensors(tmp_path / "two"), "model.") < 1e-4
    for name in ("features", "again"):
        assert train(forks, images, tmp_path / name, 2, more=f"{taught}, features=1.0)") == (0, "")
    features, again = last_tensors(tmp_path / "features"), last_tensors(tmp_path / "again")
    assert furthest(features, again, "adapters.") == 0 == furthest(features, again, "model.")
