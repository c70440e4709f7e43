"""What processes use: processor time and memory, from /proc (Linux only)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def processor_s(pid: int) -> float:
    """Return the processor time that one process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def children_s(pid: int) -> float:
    """Return the processor time of everything below a process, in seconds."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        child = int(file.parent.name)
        parents[child] = int(fields[1])
        used[child] = sum(int(each) for each in fields[11:15]) / _TICKS_PER_S
    return sum(time_s for child, time_s in used.items() if _is_below(child, pid, parents))


def resident_bytes(pid: int) -> int:
    """Return the memory that a process has in RAM, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _is_below(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == root:
            return True
    return False
