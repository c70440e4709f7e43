"""What the stack survives: PostgreSQL killed, the disk full, servers that die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
import websockets

from local_stack import watch
from local_stack.config import StackConfig
from local_stack.errors import StackError
from local_stack.stack import LocalStack
from local_stack.watch import DISK_FULL
from tests.support.prepared import Prepared
from tests.support.rest_writers import Writers, execute, make_ledger
from tests.support.stack_folders import copy_folder
from tests.support.waiting import eventually

CUT = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
DISK_BYTES = 400_000_000


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[LocalStack]:
    async with LocalStack(StackConfig(data_dir=folder)) as stack:
        await make_ledger(stack)
        yield stack


def postmaster_pid(stack: LocalStack) -> int:
    pid_file = stack.folder / "postgres" / "data" / "postmaster.pid"
    return int(pid_file.read_text().splitlines()[0])


async def backend_pid(stack: LocalStack) -> int:
    sql = "select pid from pg_stat_activity where usename = 'authenticator' limit 1"
    pid = await execute(stack.admin_database_url, sql)
    assert isinstance(pid, int)
    return pid


async def sign_in(stack: LocalStack) -> bool:
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{stack.api_url}/auth/v1/token?grant_type=password",
            json={"email": "customer001@example.com", "password": "portal-demo"},
            headers={"apikey": stack.keys.publishable},
        )
    return answer.status_code == 200


class Subscriber:
    """One Realtime socket, subscribed to inserts into the ledger; collects the ids it is told."""

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.subscribed_count = 0

    @contextlib.asynccontextmanager
    async def listening(self, stack: LocalStack) -> AsyncIterator[None]:
        url = stack.api_url.replace("http", "ws", 1)
        url += f"/realtime/v1/websocket?apikey={stack.keys.service_role}&vsn=1.0.0"
        async with websockets.connect(url) as socket:
            inserts = {"event": "INSERT", "schema": "public", "table": "ledger"}
            join = {
                "topic": "realtime:ledger",
                "event": "phx_join",
                "ref": "1",
                "join_ref": "1",
                "payload": {"config": {"postgres_changes": [inserts]}},
            }
            await socket.send(json.dumps(join))
            task = asyncio.create_task(self._collect(socket))
            try:
                await eventually(lambda: self.subscribed_count, 20)
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _collect(self, socket: websockets.ClientConnection) -> None:
        async for text in socket:
            frame = json.loads(text)
            if frame["event"] == "system" and frame["payload"]["status"] == "ok":
                self.subscribed_count += 1
            if frame["event"] == "postgres_changes":
                self.ids.add(frame["payload"]["data"]["record"]["id"])


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["server", "backend"])
async def test_killed_postgres_loses_no_acknowledged_row(seeded_dir: Path, victim: str) -> None:
    """kill -9 during writes: reported, restarted, and REST, Auth and Realtime go on by themselves.

    Also when a single backend is killed, upon which PostgreSQL restarts all of them itself.
    """
    subscriber = Subscriber()
    async with running(seeded_dir) as stack:
        port = stack.database_port
        async with subscriber.listening(stack), Writers(stack) as writers:
            await eventually(lambda: len(writers.acknowledged) > 20, 20)
            pid = postmaster_pid(stack) if victim == "server" else await backend_pid(stack)
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: writers.refusals, 20, message="writers notice")
            seen = len(writers.acknowledged)
            await eventually(lambda: len(writers.acknowledged) > seen + 20, 30)
            await eventually(lambda: sign_in(stack), 20, message="Auth works again")
            await eventually(lambda: subscriber.subscribed_count > 1, 30)
            newest = max(writers.acknowledged)
            await eventually(lambda: any(n > newest for n in subscriber.ids), 30)
        assert await writers.missing() == set()
        assert {status for status, _ in writers.refusals} <= {503}, set(writers.refusals)
        assert stack.database_port == port
        assert stack.troubles == ()
    log = (seeded_dir / "stack.log").read_text()
    if victim == "server":
        assert "PostgreSQL ended by itself (killed by signal 9); it is restarted." in log
        assert f"PostgreSQL runs again on port {port}." in log


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A file system of its own with little space; needs root."""
    disk = home / "disk"
    disk.mkdir(mode=0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system, and not in every container")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
async def test_a_full_disk_is_reported_and_survived(
    made_once: Prepared, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes are refused with the reason; once there is space the stack goes on by itself.

    Both ways a disk fills up: a table cannot grow, which one writer is told; and the write-ahead
    log cannot grow, which ends PostgreSQL until there is space.
    """
    monkeypatch.setattr(watch, "DISK_CHECK_S", 0.2)
    monkeypatch.setattr(watch, "LONGEST_PAUSE_S", 0.5)
    folder = copy_folder(made_once.stack(), small_disk / "data")
    ballast = small_disk / "ballast"
    async with running(folder) as stack:
        async with Writers(stack, count=1, payload="x" * 2_000) as writers:
            await eventually(lambda: len(writers.acknowledged) > 5, 20)
            fill(ballast)
            await eventually(lambda: any(status == 503 for status, _ in writers.refusals), 30)
            await eventually(lambda: any("MB left" in t for t in stack.troubles), 20)
            await eventually(lambda: write_ahead_log_is_full(stack), 60)
            state = json.loads((folder / "stack.json").read_text() or "{}")
            ballast.unlink()
            seen = len(writers.acknowledged)
            await eventually(lambda: len(writers.acknowledged) > seen + 5, 40)
        assert await writers.missing() == set()
        assert state["pid"] == os.getpid()
        assert DISK_FULL in " ".join(text for _, text in writers.refusals)
        await eventually(lambda: stack.troubles == (), 20)


async def write_ahead_log_is_full(stack: LocalStack) -> bool:
    """Write log until PostgreSQL dies of it; return whether the stack says so."""
    sql = "select pg_switch_wal(), pg_logical_emit_message(false, 'test', repeat('x', 1000000))"
    with contextlib.suppress(*CUT):
        for _ in range(30):
            await execute(stack.admin_database_url, sql)
    return any("is full" in trouble for trouble in stack.troubles)


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 1_000_000):
            pass
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 512):
            pass


async def test_a_listener_that_ends_is_reported(seeded_dir: Path) -> None:
    """Nobody can reach the stack any more, so it says that it cannot go on."""
    async with LocalStack(StackConfig(data_dir=seeded_dir)) as stack:
        [listener] = [task for task in asyncio.all_tasks() if task.get_name() == "stack-listener"]
        listener.cancel()
        with pytest.raises(StackError, match="listener ended by itself"):
            await asyncio.wait_for(stack.wait_failed(), 10)


async def test_a_watch_that_fails_is_reported(
    seeded_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stack that is no longer watched says so instead of looking healthy."""
    async with LocalStack(StackConfig(data_dir=seeded_dir)) as stack:
        monkeypatch.setattr(watch, "DISK_CHECK_S", 0.0)
        monkeypatch.setattr(watch, "LOW_DISK_BYTES", "not a number")
        with pytest.raises(StackError, match="watch over the stack failed: TypeError"):
            await asyncio.wait_for(stack.wait_failed(), 20)
