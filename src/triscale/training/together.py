"""What the processes of a training agree on: what they train, the run's folder, and the checkpoint to go on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import safetensors.torch
from torch import Tensor

from triscale.errors import PeerError, TrainingError
from triscale.models.tensors import storable
from triscale.training.checkpoint import Checkpoint, Checkpoints
from triscale.training.run import RunFolder, RunRecord
from triscale.training.world import World


def open_run(
    world: World, path: str | Path, command: str, arguments: Mapping[str, object], data: str = ""
) -> RunFolder:
    """`RunFolder.open` by process 0; the others get a folder that reads the same and writes nothing.

    Raises: RunError in process 0; PeerError in the others, as process 0 says why.
    """
    if world.is_alone:
        return RunFolder.open(path, command, arguments, data)
    opened: list[RunFolder] = []

    def make() -> bytes:
        opened.append(RunFolder.open(path, command, arguments, data))
        return msgspec.json.encode((opened[0].record, opened[0].notes), enc_hook=str)

    told = world.share(make)
    if opened:
        return opened[0]
    record, notes = msgspec.json.decode(told, type=tuple[RunRecord, tuple[str, ...]])
    return RunFolder(Path(path), record, notes, writes=False)


def require_the_same(world: World, asked: Mapping[str, object]) -> None:
    """Refuse processes that were asked for different things: they would wait for each other in vain.

    asked: plain values by name. Raises: TrainingError in process 0, PeerError in the others.
    """
    found = [json.loads(each) for each in world.gather_bytes(json.dumps(asked, default=str).encode())]
    for rank, other in enumerate(found):
        for name, value in found[0].items():
            if other.get(name) != value:
                if not world.is_main:
                    raise PeerError("the processes were asked for different things; process 0 says what.", told=True)
                raise TrainingError(
                    f"process {rank} has another {name} than process 0 ({other.get(name)} and {value}); "
                    f"start all with the same command on the same data."
                )


def newest_of_all(checkpoints: Checkpoints, world: World) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """`Checkpoints.newest` as process 0 finds it, so that all go on from the same one, whatever folders they see."""
    if world.is_alone:
        return checkpoints.newest()

    def make() -> bytes:
        checkpoint, notes = checkpoints.newest()
        if checkpoint is None:
            return _packed({"notes": notes}, {}, {})
        header = {"notes": notes, "step": checkpoint.step, "state": checkpoint.state}
        return _packed(header, checkpoint.tensors, checkpoint.best)

    header, tensors, best = _unpacked(world.share(make))
    notes = tuple(header["notes"])
    if "step" not in header:
        return None, notes
    return Checkpoint(header["step"], tensors, header["state"], best), notes


def _packed(header: Mapping[str, object], *groups: Mapping[str, Tensor]) -> bytes:
    parts = [json.dumps(header).encode(), *(safetensors.torch.save(storable(each)) for each in groups)]
    sizes = b"".join(len(part).to_bytes(8, "big") for part in parts)
    return b"".join([sizes, *parts])


def _unpacked(data: bytes) -> tuple[dict, dict[str, Tensor], dict[str, Tensor]]:
    sizes = [int.from_bytes(data[at : at + 8], "big") for at in (0, 8, 16)]
    ends = [24 + sum(sizes[: i + 1]) for i in range(3)]
    header, first, second = (data[end - size : end] for size, end in zip(sizes, ends, strict=True))
    return json.loads(header), safetensors.torch.load(first), safetensors.torch.load(second)
