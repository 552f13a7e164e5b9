"""How much memory a process may use: its own limits (ulimit), those of its control group, and what is free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Measure = Literal["data", "address", "resident"]
UNLIMITED = 2**60  # bytes; control groups write a number near 2**63 where there is no limit


@dataclass(frozen=True, slots=True)
class Room:
    """A bound on the memory of a process.

    size: bytes. source: what sets it, for people. measure: what of the process counts: "data" (private memory that it
    may write, what RLIMIT_DATA limits), "address" (its address space, RLIMIT_AS), or "resident" (memory that it fills).
    """

    size: int
    source: str
    measure: Measure


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes that a process takes, by the three measures."""

    data: int
    address: int
    resident: int

    def of(self, measure: Measure) -> int:
        """By one measure."""
        return {"data": self.data, "address": self.address, "resident": self.resident}[measure]


def rooms(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> list[Room]:
    """Every bound that holds for this process now; none where the system tells of none.

    proc, groups: where Linux tells of processes, and of control groups (of version 1 or 2).
    """
    found = list(_own_limits())
    free = [(_free_memory(proc), "free memory"), *((left, "the control group") for left in _groups_left(proc, groups))]
    found += [Room(left, source, "resident") for left, source in free if left is not None]
    return found


def usage(proc: Path = Path("/proc")) -> tuple[Usage, Usage]:
    """What this process takes now, and at most so far.

    The system keeps no high-water mark of data: it is taken to have grown with the address space.
    """
    told = dict(line.split(":", 1) for line in (proc / "self" / "status").read_text().splitlines() if ":" in line)
    data, address, resident, top, most = (
        int(told[name].split()[0]) * 1024 for name in ("VmData", "VmSize", "VmRSS", "VmPeak", "VmHWM")
    )
    return Usage(data, address, resident), Usage(data + max(0, top - address), top, most)


def _own_limits() -> Iterator[Room]:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    for number, name, measure in (
        (resource.RLIMIT_DATA, "RLIMIT_DATA", "data"),
        (resource.RLIMIT_AS, "RLIMIT_AS", "address"),
    ):
        soft, _ = resource.getrlimit(number)
        if soft != resource.RLIM_INFINITY:
            yield Room(soft, name, measure)


def _free_memory(proc: Path) -> int | None:
    """Bytes that can be had without swapping; a part of all memory where the system does not say."""
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)
    except OSError:
        names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
        if "SC_PHYS_PAGES" not in names:
            return None
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _groups_left(proc: Path, root: Path) -> Iterator[int]:
    """Bytes that are left in each control group that this process is in, from its own to the outermost."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        if controllers == "":
            base, limit, used, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit, used = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        place = base / inside.lstrip("/")
        for folder in (place, *place.parents):
            if not folder.is_relative_to(base):
                break
            left = _left_in(folder, limit, used, cache)
            if left is not None:
                yield left


def _left_in(folder: Path, limit: str, used: str, cache: str) -> int | None:
    """Limit less use, without cached files, which the kernel gives up when memory is needed."""
    try:
        written = (folder / limit).read_text().strip()
        most = UNLIMITED if written == "max" else int(written)
        if most >= UNLIMITED:
            return None
        taken = int((folder / used).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
        given_up = next((int(line.split()[1]) for line in lines if line.split()[0] == cache), 0)
    except (OSError, ValueError):
        return None
    return max(0, most - taken + given_up)
