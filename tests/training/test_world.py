"""Who this process is, and what is said where the others are not met."""

import socket

import pytest
import torch

from triscale.errors import PeerError, TrainingError
from triscale.training.world import ALONE, World, joined, lost_ones_told, world_from

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1",
}


def test_without_torchrun_it_is_alone_and_torch_distributed_is_not_begun():
    assert world_from({}) == world_from({"WORLD_SIZE": "1", "RANK": "0"}) == World(0, 1, 0, 1)
    with joined() as world:
        assert world.is_alone
        assert not torch.distributed.is_initialized()


def test_torchrun_says_who_it_is():
    world = world_from(TORCHRUN)
    assert world == World(rank=3, size=4, local_rank=1, local_size=2)
    assert not world.is_main
    assert world.part == (3, 4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RANK": ""}, "WORLD_SIZE is 4, but RANK is not set: start with torchrun, or unset WORLD_SIZE."),
        ({"MASTER_ADDR": "", "MASTER_PORT": ""}, "but MASTER_ADDR and MASTER_PORT is not set"),
        ({"RANK": "4"}, "RANK is 4 and WORLD_SIZE 4: expected 0 to 3"),
        ({"LOCAL_RANK": "first"}, "LOCAL_RANK=first, LOCAL_WORLD_SIZE=2: are to be whole numbers"),
    ],
)
def test_an_environment_that_makes_no_sense_is_one_line(changes, said):
    with pytest.raises(TrainingError) as error:
        world_from(TORCHRUN | changes)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")
def test_others_who_do_not_come_are_one_line(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in (TORCHRUN | {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": str(port)}).items():
        monkeypatch.setenv(name, value)
    said = rf"process 0 of 2 cannot meet the others at 127\.0\.0\.1:{port} \("
    with pytest.raises(TrainingError, match=said), joined(timeout=0.2):
        raise AssertionError("nobody came")
    assert not torch.distributed.is_initialized()


def test_alone_nothing_is_sent():
    values = torch.tensor([1.0, 2.0])
    assert ALONE.sum(values) is values
    assert ALONE.gather(values) == [values]
    assert ALONE.gather_bytes(b"here") == [b"here"]
    assert ALONE.share(lambda: b"made") == b"made"
    assert (ALONE.any(True), ALONE.any(False), ALONE.most(0.5)) == (True, False, 0.5)
    assert ALONE.workers is None


def test_only_errors_of_the_connection_are_taken_for_a_lost_process():
    with pytest.raises(PeerError, match="another process of this training has ended"), lost_ones_told(World(0, 2)):
        raise RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]")
    with pytest.raises(RuntimeError, match="size of tensor"), lost_ones_told(World(0, 2)):
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")


def test_what_two_processes_tell_each_other(forks):
    code = """
from training.pairs import together
together('''
import torch
from triscale.errors import PeerError, RunError
from triscale.training.world import joined
with joined() as world:
    assert world.sum(torch.tensor([1.0, rank])).tolist() == [2, 1]
    assert world.any(rank == 1) and not world.any(False)
    assert world.most(rank / 2) == 0.5
    assert [each.tolist() for each in world.gather(torch.arange(2 - rank))] == [[0, 1], [0]]
    assert [each.tolist() for each in world.gather(torch.zeros(rank, 2))] == [[], [[0, 0]]]
    assert world.gather_bytes(b"x" * rank) == [b"", b"x"]
    assert world.share(lambda: b"said by %d" % rank) == b"said by 0"
    assert world.share(lambda: b"") == b""
    moved = torch.full((2, 3, 2, 2), float(rank)).to(memory_format=torch.channels_last)
    world.broadcast([moved, torch.tensor(5)])
    assert not moved.any() and moved.is_contiguous(memory_format=torch.channels_last)
    with joined() as again:  # as `train` does inside a command
        assert again == world
    try:
        def fail():
            raise RunError("no")
        world.share(fail)
    except RunError:
        assert rank == 0
    except PeerError as error:
        assert rank == 1 and error.told and error.exit_code == 2
    world.barrier()
assert not torch.distributed.is_initialized()
''')
"""
    status, said = forks.run(code)
    assert (status, said) == (0, ""), said
