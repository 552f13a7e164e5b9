"""The processes that train together: who this one is among them, and what they tell each other.

torchrun starts them and says in the environment who is who. Without it there is a world of one, in which nothing here
costs anything.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from triscale.data.parallel import cores
from triscale.errors import PeerError, TrainingError, TriscaleError
from triscale.training.meeting import own_store

TIMEOUT = 600.0  # seconds that a process waits for the others, while one of them writes a large checkpoint, say
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# What gloo and NCCL say where a process has gone: their errors have no class of their own on a CPU.
_SIGNS = ("gloo/", "Gloo", "Connection closed by peer", "Connection reset by peer", "Timed out waiting", "NCCL")


@dataclass(frozen=True, slots=True)
class World:
    """This process among those that train together; they all call the same methods in the same order.

    rank: 0 to size - 1; process 0 alone writes files and says things. local_rank, local_size: among those of this
    machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    @property
    def device(self) -> torch.device:
        """Where this process trains if it trains on a GPU: each has its own. The CPU where there is none."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    @property
    def part(self) -> tuple[int, int]:
        """(rank, size): which part of every batch is this process's."""
        return self.rank, self.size

    @property
    def workers(self) -> int | None:
        """Threads to read images with: the processes of a machine share its cores. None: as many as usual."""
        return None if self.is_alone else max(1, cores() // self.local_size)

    def sum(self, values: Tensor) -> Tensor:
        """Add up over all processes, in place; all get the same bits."""
        if not self.is_alone:
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether it holds in one of them."""
        return flag if self.is_alone else bool(self.sum(torch.tensor([float(flag)])))

    def most(self, value: float) -> float:
        """The largest of all processes' values."""
        return (
            max(self.gather(torch.tensor([value], dtype=torch.float64)), key=float).item() if self.size > 1 else value
        )

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Make the tensors of all processes those of process 0, in place."""
        if self.is_alone:
            return
        with torch.no_grad():
            for tensor in tensors:
                own = tensor.detach()
                sent = own.contiguous()
                dist.broadcast(sent, 0)
                if sent.data_ptr() != own.data_ptr():
                    own.copy_(sent)

    def gather(self, rows: Tensor) -> list[Tensor]:
        """The tensors (N, ...) of all processes, in their order; only N may differ. On the CPU."""
        if self.is_alone:
            return [rows]
        counts = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(rows)]))
        most = max(int(count) for count in counts)
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return [part[: int(count)] for part, count in zip(parts, counts, strict=True)]

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """What each process has, in their order."""
        if self.is_alone:
            return [data]
        return [part.numpy().tobytes() for part in self.gather(_as_tensor(data))]

    def share(self, make: Callable[[], bytes]) -> bytes:
        """What process 0 makes, in all of them.

        Raises: in process 0 what `make` raises; in the others PeerError, as process 0 says why.
        """
        if self.is_alone:
            return make()
        if not self.is_main:
            return self._receive()
        try:
            data = make()
        except TriscaleError as error:
            self._send(b"", error.exit_code)
            raise
        self._send(data, 0)
        return data

    def _send(self, data: bytes, code: int) -> None:
        dist.broadcast(torch.tensor([len(data), code]), 0)
        if data:
            dist.broadcast(_as_tensor(data), 0)

    def _receive(self) -> bytes:
        header = torch.zeros(2, dtype=torch.int64)
        dist.broadcast(header, 0)
        size, code = header.tolist()
        if code:
            raise PeerError("process 0 cannot go on; it says why.", code, told=True)
        data = torch.empty(size, dtype=torch.uint8)
        if size:
            dist.broadcast(data, 0)
        return data.numpy().tobytes()

    def barrier(self) -> None:
        """Wait until all are here."""
        self.any(False)


ALONE = World()


def _as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)


def world_from(environment: Mapping[str, str]) -> World:
    """Who this process is, from the environment as torchrun sets it.

    Raises: TrainingError where that says that there are others, but not where, or makes no sense.
    """
    if environment.get("WORLD_SIZE", "1") == "1":
        return ALONE
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        raise TrainingError(
            f"WORLD_SIZE is {environment['WORLD_SIZE']}, but {' and '.join(missing)} is not set: "
            f"start with torchrun, or unset WORLD_SIZE."
        )
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    try:
        rank, size, local_rank, local_size = (int(environment.get(name, i % 2)) for i, name in enumerate(names))
    except ValueError:
        given = ", ".join(f"{name}={environment.get(name, '')}" for name in names)
        raise TrainingError(f"{given}: are to be whole numbers; start with torchrun.") from None
    if not 0 <= rank < size:
        raise TrainingError(f"RANK is {rank} and WORLD_SIZE {size}: expected 0 to {size - 1}; start with torchrun.")
    return World(rank, size, local_rank, local_size)


@contextlib.contextmanager
def joined(timeout: float = TIMEOUT) -> Generator[World]:
    """Within the block this process trains together with those that torchrun started with it.

    timeout: seconds to wait for the others, at any time. Where the process group is there already, it is used and left.
    Yields: the world; one of one process where torchrun did not start this.
    Raises: TrainingError where the others are not met; PeerError where one has gone while the block ran.
    """
    found = world_from(os.environ)
    ours = not dist.is_initialized()
    if found.is_alone and ours:
        yield found
        return
    if ours:
        _meet(found, timeout)
    else:
        found = World(dist.get_rank(), dist.get_world_size(), found.local_rank, found.local_size)
    try:
        with lost_ones_told(found):
            yield found
    finally:
        if ours:
            _leave()


def _meet(world: World, timeout: float) -> None:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus and world.local_size > gpus:
        raise TrainingError(
            f"{world.local_size} processes were started on a machine with {gpus} GPUs: give --nproc-per-node {gpus}, "
            f"or CUDA_VISIBLE_DEVICES= to train on the CPU."
        )
    if gpus:
        torch.cuda.set_device(world.local_rank)
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=timedelta(seconds=timeout)))
        store = own_store(store, rank, size, timeout)
        backend, patience = "cpu:gloo,cuda:nccl" if gpus else "gloo", timedelta(seconds=timeout)
        dist.init_process_group(backend, timeout=patience, store=store, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise TrainingError(
            f"process {world.rank} of {world.size} cannot meet the others at {place} ({_first_line(error)}); "
            f"look whether all are started, and whether a firewall or a wrong network interface is between them."
        ) from error


def _leave() -> None:
    """End the process group, whatever is under way.

    Its threads may need Python's lock to end. The last to let go of it must therefore be Python's own reference, which
    gives that lock up meanwhile; what an error on its way keeps alive (the wrapper around the network) must go before.
    """
    group, error = dist.group.WORLD, sys.exception()
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
    dist.destroy_process_group()
    del group


@contextlib.contextmanager
def lost_ones_told(world: World) -> Generator[None]:
    """Within the block, a connection that breaks because another process has gone is one line. Raises: PeerError."""
    try:
        yield
    except RuntimeError as error:
        if world.is_alone or not _is_loss(error):
            raise
        raise PeerError(
            "another process of this training has ended or does not answer; "
            "the same command goes on from the last checkpoint."
        ) from error


def _is_loss(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in _SIGNS)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0].strip(" .") if lines else type(error).__name__
