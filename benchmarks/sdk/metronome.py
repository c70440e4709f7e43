"""When the machine itself was slow: the same small piece of work, again and again.

Run: python -m benchmarks.sdk.metronome <seconds>
The work is timed by processor time, so that other processes which want the processor do not count:
what is found is a processor that does less per second than it usually does, as virtual machines
have them while their host is busy. Prints the moments (CLOCK_MONOTONIC seconds) as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

# Of 1,024 bits: C that works in registers and little memory, so that it makes nobody else slower.
MODULUS = (1 << 1024) - 105
EXPONENT = (1 << 18) - 1
PAUSE_S = 0.016
SLOW = 3.0
"""Times the median from which on a piece of work counts as slow."""


AFTERMATH_S = 0.1
"""What waited in a slow moment comes first when it is over."""


def is_disturbed(span: tuple[float, float], slow_moments: Sequence[tuple[float, float]]) -> bool:
    """Tell whether the machine was slow between start and end, or shortly before."""
    start, end = span
    return any(at < end and until > start - AFTERMATH_S for at, until in slow_moments)


def work() -> int:
    """Less than 0.1 ms of processor time."""
    return pow(3, EXPONENT, MODULUS)


def measure(seconds: float) -> dict[str, Any]:
    """Return the slow moments as pairs of start and end, and their share of all pieces."""
    end = time.perf_counter() + seconds
    pieces: list[tuple[float, float, float]] = []
    while (began := time.perf_counter()) < end:
        processor_s = time.thread_time()
        work()
        pieces.append((began, time.perf_counter(), time.thread_time() - processor_s))
        time.sleep(PAUSE_S)
    usual_s = statistics.median(piece[2] for piece in pieces)
    slow = [(at, until) for at, until, took_s in pieces if took_s > SLOW * usual_s]
    return {"moments": slow, "share": round(len(slow) / len(pieces), 4)}


if __name__ == "__main__":
    json.dump(measure(float(sys.argv[1])), sys.stdout)
