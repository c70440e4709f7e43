"""The demo's servers are found when they speak, reported when they die, and never outlive it."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from portalctl.demo.errors import ProcessFailedError
from portalctl.demo.processes import ServerProcess
from portalctl.exits import ExitCode
from tests.support.waiting import eventually

ANNOUNCE = """
import os, signal, sys, time
print("some noise", file=sys.stderr)
print("listening on", os.getpid(), flush=True)
signal.pause()
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ANNOUNCE
DYING = "import sys; sys.exit('the port is taken')"


def server(folder: Path, source: str) -> ServerProcess:
    (folder / "served.py").write_text(source)
    return ServerProcess("test server", ["served"], {}, folder)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_is_ready_when_it_says_so_and_gone_afterwards(tmp_path):
    async with server(tmp_path, ANNOUNCE) as process:
        pid = int(await process.announced(r"listening on (\d+)", timeout_s=20))
        assert is_running(pid)
    assert not is_running(pid)
    assert process.exit_status == -signal.SIGTERM


async def test_one_that_will_not_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("portalctl.demo.processes._STOP_TIMEOUT_S", 0.2)
    async with server(tmp_path, STUBBORN) as process:
        pid = int(await process.announced(r"listening on (\d+)", timeout_s=20))
    assert not is_running(pid)


async def test_one_that_dies_at_the_start_is_reported_with_its_last_words(tmp_path):
    async with server(tmp_path, DYING) as process:
        with pytest.raises(
            ProcessFailedError, match=r"ended with status 1\. .*the port is taken"
        ) as caught:
            await process.announced("(never)", timeout_s=20)
    assert caught.value.code is ExitCode.ENVIRONMENT


async def test_one_that_says_nothing_is_reported(tmp_path):
    async with server(tmp_path, ANNOUNCE) as process:
        with pytest.raises(ProcessFailedError, match="was not ready within"):
            await process.announced("(something else)", timeout_s=0.2)


async def test_one_that_dies_later_is_reported(tmp_path):
    async with server(tmp_path, ANNOUNCE) as process:
        pid = int(await process.announced(r"listening on (\d+)", timeout_s=20))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProcessFailedError, match="ended with status -9") as caught:
            async with asyncio.timeout(20):
                await process.fail_when_ended()
    assert "listening on" not in str(caught.value), "an announcement may hold keys"


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels cannot tell a child")
def test_it_does_not_outlive_a_demo_that_is_killed(tmp_path):
    (tmp_path / "served.py").write_text(ANNOUNCE)
    demo = (
        "import asyncio, pathlib, sys\n"
        "from portalctl.demo.processes import ServerProcess\n"
        "async def main():\n"
        "    folder = pathlib.Path(sys.argv[1])\n"
        "    async with ServerProcess('test server', ['served'], {}, folder) as process:\n"
        "        print(await process.announced(r'listening on (\\d+)', 20), flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", demo, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        pid = int(process.stdout.readline())
        process.kill()
    asyncio.run(eventually(lambda: not is_running(pid)))
