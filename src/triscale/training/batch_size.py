"""`--batch auto`: as many images at once as memory allows, found in processes that may run out of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from triscale.data.dataset import Sample
from triscale.data.detection.dataset import BoxDataset, BoxSample
from triscale.errors import TrainingError
from triscale.models.files import save
from triscale.models.model import Model
from triscale.modules.plain import PlainModel
from triscale.training.config import read_config
from triscale.training.loop import train
from triscale.training.out_of_memory import OutOfMemoryError
from triscale.training.progress import Progress
from triscale.training.recipe import Recipe
from triscale.training.result import M, TrainResult
from triscale.training.room import Room, Usage, rooms, usage
from triscale.training.run import RunFolder
from triscale.training.task import AnyDataset

PROBED = (4, 8)  # images at once in the two steps from which more are predicted
SPARE = 0.08  # of the room is left free: a later step may need a little more than the first ones
STEPS = 2  # the optimiser makes its state in the first
DID_NOT_FIT = 3  # exit code of a probe
LONGEST = 600  # seconds; where a thread cannot have memory, a library may wait for it for ever


@dataclass(frozen=True, slots=True)
class Choice:
    """A batch that fits.

    recipe: with `accumulate` set; its batch, and so its learning rate, stay. need, room: bytes at the peak of training,
    measured, and what there is. notes: for people.
    """

    recipe: Recipe
    need: int
    room: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Probe:
    """What a probe found: what it took before training and at most, and memory of the GPU: at most, and free before."""

    before: Usage
    most: Usage
    device_most: int
    device_free: int


def choose_batch(model: Model, dataset: AnyDataset, recipe: Recipe, say: Callable[[str], None]) -> Choice:
    """The recipe with as few parts of a batch (`accumulate`) as fit into memory.

    What the recipe asks for stays: images of a step, learning rate, number of steps. Only how many of them go through
    the network at once is chosen. Two short trainings in processes of their own, on images of this set, tell how memory
    grows; what that predicts is then trained in such a process too, and made smaller until it holds.
    model: on the device where it is to train. say: gets a line before each try.
    Raises: OutOfMemoryError where not even one image at a time fits, with what it would need.
    """
    batch = min(recipe.batch_size, len(dataset.train))
    own = usage()[0]
    with tempfile.TemporaryDirectory(prefix="triscale-batch-") as folder:
        probing = _Probing(Path(folder), model, dataset, recipe, own)
        line = Line()
        for size in sorted({min(each, batch) for each in PROBED}):
            say(f"batch: measuring {size} images at once")
            probing.note(size, line)
        parts = _fewest_parts(line, batch, 1, probing.tightest())
        while True:
            size = math.ceil(batch / parts)
            say(f"batch: trying {size} images at once")
            need, room = probing.note(size, line)
            if need <= room.size * (1 - SPARE):
                return _choice(recipe, batch, parts, need, room, line)
            if size == 1:
                raise _nothing_fits(recipe, line, room)
            parts = _fewest_parts(line, batch, _more_parts(batch, parts), room)


class Line:
    """Bytes at the peak over images at once: measured where it was, else straight on from the two largest."""

    def __init__(self) -> None:
        self.points: dict[int, float] = {}

    def __call__(self, size: int) -> float:
        """Bytes for so many images at once; infinite from where memory ran out; nan where nothing was measured."""
        if any(size >= failed for failed, need in self.points.items() if need == math.inf):
            return math.inf
        known = sorted(each for each in self.points.items() if each[1] < math.inf)
        if not known:
            return math.nan
        last, high = known[-1]
        first, low = known[-2] if len(known) > 1 else (0, 0.0)
        return self.points.get(size, high + max(0.0, high - low) / (last - first) * (size - last))


def _fewest_parts(line: Line, batch: int, at_least: int, room: Room) -> int:
    """In how few parts a batch should fit; `at_least` where nothing says that it will not."""
    for parts in range(at_least, batch + 1):
        need = line(math.ceil(batch / parts))
        if math.isnan(need) or need <= room.size * (1 - SPARE):
            return parts
    return batch  # one image at a time; the line is a guess, and the try tells


def train_with_what_fits(
    model: M, dataset: AnyDataset, recipe: Recipe, run: RunFolder, progress: Progress
) -> TrainResult[M]:
    """`train` with as many images at once as fit; the choice is in `config.toml` before training begins, for good.

    Should memory run out all the same (another program may have taken it), fewer go through at once from the last
    checkpoint on, and that is said.
    Raises: as `choose_batch` and `train`.
    """
    config = run.path / "config.toml"
    if config.exists():
        recipe = Recipe.from_table(read_config(config).get("recipe", {}), f"{config}: recipe")
    else:
        choice = choose_batch(model, dataset, recipe, progress.say)
        recipe = choice.recipe
        for note in choice.notes:
            progress.say(note)
        _decide(run, recipe, {"need": choice.need, "room": choice.room})
    while True:
        try:
            return train(model, dataset, recipe, run, progress)
        except OutOfMemoryError as error:
            batch = min(recipe.batch_size, len(dataset.train))
            if recipe.accumulate >= batch:
                raise
            recipe = replace(recipe, accumulate=_more_parts(batch, recipe.accumulate))
            at_once = math.ceil(batch / recipe.accumulate)
            progress.say(f"{error} Going on from the last checkpoint with {at_once} images at once.")
        _decide(run, recipe, {})


def _decide(run: RunFolder, recipe: Recipe, measured: Mapping[str, int]) -> None:
    run.write_config({"recipe": recipe.to_table()})
    run.log("batch", {"batch_size": recipe.batch_size, "accumulate": recipe.accumulate, **measured})


def _more_parts(batch: int, parts: int) -> int:
    """The fewest parts that are smaller than those of a batch in `parts`."""
    size = math.ceil(batch / parts)
    return next(more for more in range(parts + 1, batch + 1) if math.ceil(batch / more) < size)


def _choice(recipe: Recipe, batch: int, parts: int, need: float, room: Room, line: Line) -> Choice:
    have = f"{megabytes(need)} of {megabytes(room.size)} ({room.source})"
    if parts == 1:
        note = f"batch: {batch} images at once need {have}"
    else:
        whole = line(batch)
        wanted = f"; all at once would need about {megabytes(whole)}" if room.size < whole < math.inf else ""
        note = f"batch: {batch} images in {parts} parts of at most {math.ceil(batch / parts)} need {have}{wanted}"
    return Choice(replace(recipe, accumulate=parts), round(need), room.size, (note,))


def _nothing_fits(recipe: Recipe, line: Line, room: Room) -> OutOfMemoryError:
    one = line(1)
    need = f"about {megabytes(one / (1 - SPARE))}" if room.size < one < math.inf else "more"
    less = "" if recipe.checkpoint_activations != "none" else "--set checkpoint_activations=block, "
    return OutOfMemoryError(
        f"not even one image at a time fits: training needs {need}, there are {megabytes(room.size)} ({room.source}); "
        f"give {less}a smaller --batch-size, a smaller --size, a smaller network, or more memory."
    )


def megabytes(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


class _Probing:
    """Short trainings of one model, each in a process of its own."""

    def __init__(self, folder: Path, model: Model, dataset: AnyDataset, recipe: Recipe, own: Usage) -> None:
        self.folder, self.recipe, self.own = folder, recipe, own
        self.device = next(model.parameters()).device
        save(model, folder / "model.safetensors")
        self.factory = model.origin.factory if isinstance(model, PlainModel) else ""
        self.classes, self.boxed = len(dataset.classes), isinstance(dataset, BoxDataset)
        self.samples = self._copied(dataset, STEPS * min(recipe.batch_size, len(dataset.train)))
        self.numbers = iter(range(10**6))

    def _copied(self, dataset: AnyDataset, count: int) -> list[tuple[str, object]]:
        """Some images of the set as files, wherever they come from, each as often as it takes.

        Beside each is its label; or its size and boxes, where those with the most come first.
        """
        chosen: Sequence[Sample | BoxSample] = dataset.train[:count]
        if isinstance(dataset, BoxDataset):
            chosen = sorted(dataset.train, key=lambda sample: -len(sample.boxes))[:count]
        made: list[tuple[str, object]] = []
        for number, sample in enumerate(chosen):
            file = self.folder / f"{number}{sample.path.suffix}"
            file.write_bytes(sample.path.read_bytes())
            told = (sample.size, sample.boxes) if isinstance(sample, BoxSample) else sample.label
            made.append((file.name, told))
        return [made[number % len(made)] for number in range(count)]

    def tightest(self) -> Room:
        """The bound that leaves the least beside what this process takes."""
        found = rooms() or [Room(sys.maxsize, "no limit", "resident")]
        return min(found, key=lambda room: room.size - (0 if room.measure == "resident" else self.own.of(room.measure)))

    def need(self, probe: _Probe) -> tuple[int, Room]:
        """What training takes here, judging by a probe, and the bound to which it comes nearest.

        This process has read more than a probe, and takes that much more by the measures of its own limits.
        """
        needs = []
        for room in rooms():
            more = 0 if room.measure == "resident" else self.own.of(room.measure) - probe.before.of(room.measure)
            needs.append((probe.most.of(room.measure) + max(0, more), room))
        if probe.device_free:
            needs.append((probe.device_most, Room(probe.device_free, "free memory of the GPU", "resident")))
        if not needs:
            return probe.most.resident, Room(sys.maxsize, "no limit", "resident")
        return max(needs, key=lambda each: each[0] / max(1, each[1].size))

    def note(self, size: int, line: Line) -> tuple[float, Room]:
        """Try so many images at once, note what they took (infinite where memory ran out), and return it."""
        found = self.run(size)
        need, room = (math.inf, self.tightest()) if found is None else self.need(found)
        line.points[size] = need
        return need, room

    def run(self, size: int) -> _Probe | None:
        """Train two steps of `size` images at once. Returns: None where memory ran out.

        Raises: TrainingError where training fails for another reason.
        """
        batch = min(self.recipe.batch_size, len(self.samples) // STEPS)
        recipe = replace(
            self.recipe,
            epochs=1,
            least_steps=0,
            patience=0,
            accumulate=math.ceil(batch / size),
            progressive=None,  # its last stage has the largest images
            compile=False,  # takes minutes, and needs less memory rather than more
        )
        number = next(self.numbers)
        request = {
            "recipe": recipe.to_table(),
            "factory": self.factory,
            "classes": self.classes,
            "boxed": self.boxed,
            "samples": self.samples,
            "device": str(self.device),
            "run": f"run-{number}",
        }
        file = self.folder / f"request-{number}.json"
        file.write_text(json.dumps(request))
        return _answer_of(file)


def _answer_of(request: Path) -> _Probe | None:
    """Run a probe and read what it says. One that comes to no end is killed, and counts as one that did not fit."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "triscale.training.probe", str(request)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return None
    return _answer(done.returncode, done.stdout, done.stderr)


def _answer(status: int, stdout: str, stderr: str) -> _Probe | None:
    if status == 0:
        told: dict[str, Any] = json.loads(stdout.splitlines()[-1])
        before, most = Usage(**told["before"]), Usage(**told["most"])
        return _Probe(before, most, told["device_most"], told["device_free"])
    if status == 2:
        lines = stdout.strip().splitlines()
        raise TrainingError(lines[-1] if lines else "the training that measures memory failed without a word.")
    # Killed (by the kernel, or by a library that stops where it cannot have memory), or it said so itself.
    if status < 0 or status == DID_NOT_FIT or _speaks_of_memory(stderr.splitlines()):
        return None
    lines = stderr.strip().splitlines()
    raise TrainingError(f"the training that measures memory failed: {lines[-1] if lines else f'exit code {status}'}")


def _speaks_of_memory(lines: Sequence[str]) -> bool:
    words = ("memory", "bad_alloc", "Thread creation failed", "allocate", "Resource temporarily unavailable")
    words += ("PanicException: PyObject pointer is null",)  # what safetensors says where Python gets no memory
    return any(word in line for line in lines for word in words)
