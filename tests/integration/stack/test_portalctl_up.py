"""`portalctl up` as a process: signals, kill -9, folders, ports, exit codes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from local_stack.postgres.binaries import PACKAGE, ROOT_HOME, wheel_install
from local_stack.postgres.leftover import is_alive
from tests.support.waiting import eventually

WAIT_S = 60
SITE_PACKAGES = sysconfig.get_path("purelib")
REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass
class Up:
    """A running `portalctl up`."""

    process: subprocess.Popen[str]
    facts: dict[str, object]

    @property
    def database_url(self) -> str:
        return self.facts["env"]["SUPABASE_DB_URL"]

    @property
    def postgres_pid(self) -> int:
        pid_file = Path(str(self.facts["data"])) / "postgres" / "data" / "postmaster.pid"
        return int(pid_file.read_text().splitlines()[0])

    def said_so_far(self) -> Iterator[str]:
        """Yield what it has written to standard error, more each time; never waits."""
        assert self.process.stderr is not None
        pipe, said = self.process.stderr.fileno(), b""
        os.set_blocking(pipe, False)
        while True:
            with contextlib.suppress(BlockingIOError):
                said += os.read(pipe, 65_536)
            yield said.decode()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@pytest.fixture
def running(home: Path) -> Iterator[list[Up]]:
    """The stacks that a test started; killed at its end if they still run."""
    made: list[Up] = []
    yield made
    for up in made:
        if up.process.poll() is None:
            up.end(signal.SIGTERM)
        for stream in (up.process.stdout, up.process.stderr):
            if stream is not None:
                stream.close()


def command(
    *arguments: str, python: str = sys.executable, **options: object
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-m", "portalctl", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{
            "cwd": "/",
            "env": {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{SITE_PACKAGES}"},
            **options,
        },
    )


def start(running: list[Up], *arguments: str, **options: object) -> Up:
    process = command("up", "--json", "--port", "0", "--db-port", "0", *arguments, **options)
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    if not line:
        errors = process.stderr.read()
        process.wait(WAIT_S)
        process.stdout.close()
        process.stderr.close()
        raise AssertionError(f"portalctl up ended: {errors}")
    up = Up(process, json.loads(line))
    running.append(up)
    return up


def finish(*arguments: str, **options: object) -> tuple[int, str, str]:
    with command(*arguments, **options) as process:
        out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


async def run(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def interpreter_for(uid: int) -> str:
    """Return a Python of our version that this user can run; ours may be in a private home."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/python{ours}", f"/usr/local/bin/python{ours}"):
        try:
            subprocess.run([candidate, "-c", "import ssl"], check=True, user=uid, extra_groups=[])
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip(f"no Python {ours} that an ordinary user can run")


@pytest.mark.slow
async def test_committed_rows_survive_every_end(seeded_dir: Path, running: list[Up]) -> None:
    """kill -9 of PostgreSQL, of the stack, of both, SIGTERM: after each the rows are there.

    A PostgreSQL that dies alone is restarted, and the terminal says so. PostgreSQL ends with a
    stack that is killed. After SIGTERM no process and no state file is left and the exit code says
    that all went well.
    """
    folder = ("--data", str(seeded_dir))
    up = start(running, *folder)
    await run(up.database_url, "create table public.kept as select 1 as n")
    os.kill(up.postgres_pid, signal.SIGKILL)
    said = up.said_so_far()
    await eventually(lambda: "All is well again." in next(said), WAIT_S)
    trouble = "TROUBLE: PostgreSQL ended by itself (killed by signal 9); it is restarted."
    assert trouble in next(said)
    assert await run(up.database_url, "select count(*) from public.kept") == 1
    postgres = up.postgres_pid
    up.end(signal.SIGKILL)
    if sys.platform == "linux":
        await eventually(lambda: not is_alive(postgres), message="PostgreSQL ends by itself")

    up = start(running, *folder)
    assert await run(up.database_url, "select count(*) from public.kept") == 1
    await run(up.database_url, "insert into public.kept values (2)")
    postgres = up.postgres_pid
    os.kill(postgres, signal.SIGSTOP)
    up.end(signal.SIGKILL)
    os.kill(postgres, signal.SIGKILL)
    await eventually(lambda: not is_alive(postgres))

    up = start(running, *folder)
    assert await run(up.database_url, "select count(*) from public.kept") == 2
    postgres = up.postgres_pid
    assert is_alive(postgres)
    assert up.end(signal.SIGTERM) == 0
    assert not is_alive(postgres)
    assert not (seeded_dir / "stack.json").exists()
    said_last = next(up.said_so_far())
    assert "starting PostgreSQL" in said_last
    assert "applying" not in said_last
    assert "seed" not in said_last, "nothing was to be done to this database"


@pytest.mark.slow
async def test_kill_9_while_starting_leaves_a_folder_that_starts(
    home: Path, running: list[Up]
) -> None:
    """Whatever moment it is, the next start works and no process is left over."""
    data = home / "data"
    for pause in ("starting PostgreSQL", "preparing the database", "applying "):
        with command("up", "--data", str(data), "--port", "0", "--db-port", "0") as process:
            assert process.stderr is not None
            while pause not in (line := process.stderr.readline()):
                assert line, "it ended by itself"
            process.kill()
    up = start(running, "--data", str(data))
    assert await run(up.database_url, "select count(*) from public.customers") is not None


@pytest.mark.slow
def test_other_processes_find_a_running_stack_by_its_folder(
    home: Path, seeded_dir: Path, running: list[Up]
) -> None:
    """`status`, `env`, `logs` and `stop` work on it; `up`, `reset` and its port are refused.

    Once it is stopped, `reset --yes` deletes the database, and nothing else in the folder.
    """
    folder = str(seeded_dir)
    code, _, err = finish("status", "--data", folder)
    assert code == 3
    assert "No stack is running" in err
    up = start(running, "--data", folder, "--log-format", "json", "--host", "127.0.0.2")
    assert up.facts["api_url"] == f"http://127.0.0.2:{up.facts['api_port']}"
    assert up.facts["notices"] == []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        status, env, logs, second, taken, reset = pool.map(
            lambda arguments: finish(*arguments),
            [
                ("status", "--data", folder, "--json"),
                ("env", "--data", folder, "--json"),
                ("logs", "--data", folder),
                ("up", "--data", folder),
                (
                    *("up", "--data", str(home / "other"), "--host", "127.0.0.2"),
                    *("--port", str(up.facts["api_port"])),
                ),
                ("reset", "--yes", "--data", folder),
            ],
        )
    assert status[0] == 0
    facts = json.loads(status[1])
    assert (facts["api_port"], facts["ready"], facts["troubles"]) == (
        up.facts["api_port"],
        True,
        [],
    )
    assert json.loads(env[1]) == up.facts["env"]
    assert "database system is ready" in logs[1]
    assert '"logger": "local_stack' in logs[1]
    assert second[:2] == (3, "")
    assert f"process {up.process.pid}" in second[2]
    assert f"port {up.facts['api_port']}" in second[2]
    assert len(second[2].strip().splitlines()) == 1
    assert taken[0] == 3
    assert f"Port {up.facts['api_port']} for the API is in use" in taken[2]
    assert reset[0] == 3
    assert finish("stop", "--data", folder)[0] == 0
    assert up.process.wait(WAIT_S) == 0
    keys = (seeded_dir / "keys.json").read_bytes()
    assert finish("reset", "--data", folder)[0] == 2
    assert (seeded_dir / "postgres" / "data").exists()
    assert finish("reset", "--data", folder, "--yes")[0] == 0
    assert not (seeded_dir / "postgres").exists()
    assert (seeded_dir / "keys.json").read_bytes() == keys


async def test_logs_follow_shows_what_is_added(seeded_dir: Path, running: list[Up]) -> None:
    """Lines appear as they are written, also of a stack that is started later; Ctrl-C ends it."""
    with command("logs", "--follow", "--lines", "1", "--data", str(seeded_dir)) as following:
        try:
            assert following.stdout is not None
            assert following.stdout.readline().startswith("==>")
            up = start(running, "--data", str(seeded_dir))
            await run(up.database_url, "do $$ begin raise warning 'written just now'; end $$")
            seen = iter(following.stdout.readline, "")
            assert any("written just now" in line for line in seen)
            following.send_signal(signal.SIGINT)
            assert following.wait(WAIT_S) == 0
        finally:
            following.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_an_ordinary_user_runs_it_too(home: Path, running: list[Up]) -> None:
    """Without root nothing is different, in a folder of that user's own."""
    mine = home / "of nobody"
    mine.mkdir()
    entry = pwd.getpwnam("nobody")
    os.chown(mine, entry.pw_uid, entry.pw_gid)
    python = interpreter_for(entry.pw_uid)
    nobody = {"python": python, "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    up = start(running, "--data", str(mine / "data"), **nobody)
    assert await run(up.database_url, "select count(*) from public.customers") is not None
    assert (mine / "data" / "postgres").stat().st_uid == (mine.stat().st_uid)
    assert up.end(signal.SIGINT) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root borrows an account")
async def test_root_with_an_environment_in_a_private_home(
    home: Path, seeded_dir: Path, running: list[Up]
) -> None:
    """PostgreSQL's programs are copied to where its account can run them; nothing is opened up."""
    private = home / "root"
    private.mkdir(mode=0o700)
    python = private_environment(private)
    known = set(ROOT_HOME.glob("*")) if ROOT_HOME.exists() else None
    try:
        clean = {"PATH": os.environ["PATH"]}
        up = start(running, "--data", str(seeded_dir), python=python, cwd=private, env=clean)
        assert await run(up.database_url, "select 1") == 1
        program = Path(os.readlink(f"/proc/{up.postgres_pid}/exe"))  # noqa: PTH115 - of /proc
        assert ROOT_HOME in program.parents
        assert private.stat().st_mode & 0o777 == 0o700
        assert up.end(signal.SIGINT) == 0
    finally:
        if known is None:
            shutil.rmtree(ROOT_HOME, ignore_errors=True)
        else:
            for made in set(ROOT_HOME.glob("*")) - known:
                shutil.rmtree(made)


def private_environment(folder: Path) -> str:
    """Make a virtual environment with PostgreSQL's wheel in it; return its interpreter."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    [site] = (venv / "lib").glob("python*/site-packages")
    package = site / PACKAGE
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(wheel_install(), package / wheel_install().name, symlinks=True)
    (site / "everything_else.pth").write_text(f"{SITE_PACKAGES}\n{REPOSITORY}\n")
    return str(venv / "bin" / "python")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root borrows an account")
def test_root_is_told_when_the_database_account_cannot_enter(home: Path) -> None:
    """A folder that was named is not opened up and not replaced: the user is told."""
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    code, _, err = finish("up", "--data", str(closed / "data"))
    assert code == 3
    assert "cannot enter" in err
    assert closed.stat().st_mode & 0o777 == 0o700
