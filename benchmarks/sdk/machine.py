"""Processor time as the operating system counts it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STEAL = 8


def processor_s_of_family(pid: int) -> float:
    """Processor seconds of a process and its descendants that still run."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(fields[1])
                ticks[int(folder.name)] = int(fields[11]) + int(fields[12])
    family = {pid}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks.get(pid, 0) for pid in family) / TICKS_PER_S


def stolen_s() -> float:
    """Seconds since the start in which the host let other machines run where this one would."""
    return int(Path("/proc/stat").read_text().split(maxsplit=STEAL + 1)[STEAL]) / TICKS_PER_S
