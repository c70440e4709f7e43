"""The demo itself: a whole day clean, faults noticed, and nothing left behind."""

import asyncio
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from portalctl.demo import runner
from portalctl.demo.customers import WatchedPortal
from portalctl.demo.day import default_day_path, load_day
from portalctl.demo.runner import DemoOptions, run_demo
from portalctl.exits import ExitCode
from tests.support.processes import descendants
from tests.support.waiting import eventually

DEMO = [sys.executable, "-m", "portalctl", "demo"]
ZEROS = ("lost", "duplicated", "out_of_order", "leaked")


@pytest.mark.slow
def test_a_whole_day_arrives_complete_once_in_order_and_at_nobody_else(tmp_path):
    result = subprocess.run(
        [*DEMO, "--json"], capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path
    )
    assert result.returncode == ExitCode.OK, result.stderr
    answer = json.loads(result.stdout.splitlines()[-1])
    assert list(answer) == ["writes", "expected", "received", *ZEROS, "latency_ms"]
    assert {name: answer[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert answer["writes"] == len(load_day(default_day_path())) >= 300
    assert answer["received"] == answer["expected"] >= 200
    latency_ms = answer["latency_ms"]
    assert 0 < latency_ms["p50"] <= latency_ms["p95"] <= latency_ms["p99"]
    assert "replaying the day" in result.stderr


@pytest.mark.slow
async def test_a_change_that_is_dropped_or_repeated_fails_the_demo(monkeypatch):
    """The judge is wired to what really happens: break the delivery, and the demo says so."""
    delivered = WatchedPortal._on_change
    faults = ["drop", "repeat"]

    async def broken(portal, change):
        fault = faults.pop() if faults and portal._is_counting else ""
        if fault != "drop":
            await delivered(portal, change)
        if fault == "repeat":
            await delivered(portal, change)

    monkeypatch.setattr(WatchedPortal, "_on_change", broken)
    monkeypatch.setattr(runner, "_SETTLE_S", 2.0)
    actions = load_day(default_day_path())[:60]
    result = await run_demo(DemoOptions(actions, replay_s=3.0), Console(file=io.StringIO()))
    assert (result.counts.lost, result.counts.duplicated) == (1, 1)
    assert (result.counts.out_of_order, result.counts.leaked) == (0, 0)
    assert result.cache_differences == ()
    assert result.cut_connections > 25
    assert not result.passed


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="lists processes through /proc")
async def test_ctrl_c_leaves_no_process(tmp_path):
    demo = await asyncio.create_subprocess_exec(
        *DEMO, cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        async for line in demo.stderr:
            if b"replaying" in line:
                break
    family = descendants(demo.pid)
    assert len(family) >= 3, "the stack, PostgreSQL and the service"
    demo.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        _, errors = await demo.communicate()
    assert demo.returncode == ExitCode.INTERRUPTED
    assert b"Traceback" not in errors
    await eventually(lambda: [pid for pid in family if Path(f"/proc/{pid}/stat").exists()] == [])
