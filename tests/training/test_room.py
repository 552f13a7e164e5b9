"""How much memory there is, as Linux tells it."""

import resource
import subprocess
import sys

import pytest

from triscale.training.room import Room, Usage, rooms

GIB = 2**30


def files(folder, **contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def system(tmp_path):
    """A /proc and a /sys/fs/cgroup; no group is limited yet."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    files(proc, meminfo=f"MemTotal: {32 * GIB // 1024} kB\nMemAvailable: {20 * GIB // 1024} kB\n")
    groups.mkdir()
    return proc, groups


def told(system):
    """Bounds but those of the process that runs this test."""
    return [room for room in rooms(*system) if not room.source.startswith("RLIMIT")]


def test_free_memory_counts_what_can_be_given_up(system):
    assert told(system) == [Room(20 * GIB, "free memory", "resident")]


def test_a_control_group_of_version_2_and_those_around_it_bound_what_is_left(system):
    proc, groups = system
    files(proc / "self", cgroup="0::/job/step\n")
    files(groups / "job", memory__max=f"{8 * GIB}\n", memory__current=f"{3 * GIB}\n")
    files(groups / "job", memory__stat=f"anon 5\ninactive_file {GIB}\n")
    files(groups / "job" / "step", memory__max="max\n", memory__current="5\n", memory__stat="inactive_file 0\n")
    assert told(system)[1:] == [Room(6 * GIB, "the control group", "resident")]  # 8 - 3, and 1 of cached files


def test_a_control_group_of_version_1(system):
    proc, groups = system
    files(proc / "self", cgroup="5:cpu:/x\n4:memory:/x\n0::/\n")
    place = groups / "memory" / "x"
    files(place, memory__limit_in_bytes=f"{4 * GIB}\n", memory__usage_in_bytes=f"{GIB}\n")
    files(place, memory__stat="inactive_file 7\ntotal_inactive_file 0\n")
    unlimited = groups / "memory"
    files(unlimited, memory__limit_in_bytes="9223372036854771712\n", memory__usage_in_bytes="5\n", memory__stat="\n")
    assert told(system)[1:] == [Room(3 * GIB, "the control group", "resident")]


def test_a_group_that_cannot_be_seen_from_inside_bounds_nothing(system):
    files(system[0] / "self", cgroup="4:memory:/elsewhere\n0::/\n")
    assert len(told(system)) == 1


def test_limits_of_the_process_are_found_with_their_measure():
    code = (
        "import resource\n"
        "from triscale.training.room import rooms\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({GIB}, {resource.RLIM_INFINITY}))\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({3 * GIB}, {resource.RLIM_INFINITY}))\n"
        "print([(room.size, room.source, room.measure) for room in rooms()][:2])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert eval(said) == [(GIB, "RLIMIT_DATA", "data"), (3 * GIB, "RLIMIT_AS", "address")]


def test_usage_follows_what_a_process_takes_and_remembers_the_most():
    """In a process of its own: a long one may have the room already."""
    code = (
        "from triscale.training.room import usage\n"
        "before, _ = usage()\n"
        "block = bytearray(256 * 2**20)\n"
        "during, _ = usage()\n"
        "del block\n"
        "_, most = usage()\n"
        "print([(each.data, each.address, each.resident) for each in (before, during, most)])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, during, most = (Usage(*each) for each in eval(said))
    assert during.data - before.data >= 255 * 2**20
    assert during.resident - before.resident >= 200 * 2**20
    assert most.resident >= during.resident - 2**20  # the kernel counts the pages of each thread apart
    assert most.data >= during.data
    assert most.address >= during.address
