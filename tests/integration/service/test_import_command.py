"""`portalctl import` against a running service."""

import asyncio
import contextlib
import csv
import json
import os
import signal
import stat
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from uuid import uuid4

import pytest

from crm_service.client import CrmClient, records
from crm_service.errors import CrmUnreachableError
from portalctl import app
from portalctl.commands.import_ import interval_s
from portalctl.exits import CommandError, EnvironmentUnusableError, UsageError
from portalctl.imports import sheet as sheet_module
from portalctl.imports.known_lines import KnownLines, default_path, keys_of
from portalctl.imports.sheet import read_sheet
from tests.integration.service.test_process import serving
from tests.support.personas import AGENT, MANAGER, PASSWORD
from tests.support.waiting import eventually


async def run(*arguments, env=None):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "portalctl",
        "import",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


@pytest.fixture(scope="module")
def service(stack):
    """The address of a running service."""
    with asyncio.Runner() as runner:
        running = serving(stack)
        _, url = runner.run(running.__aenter__())
        yield url
        runner.run(running.__aexit__(None, None, None))


async def test_a_file_is_imported_and_again(service, sign_in, tmp_path):
    """Counts on standard output, failed lines in a file, exit code 1 while a line fails."""
    file, errors = tmp_path / "customers.csv", tmp_path / "errors.csv"
    mark = uuid4().hex
    file.write_text(f"no,name\n{mark}-1,Ada\n{mark}-2,\n")
    options = ["--url", service, "--token", sign_in(AGENT), "--key-column", "no"]
    code, out, _ = await run("customers", str(file), *options, "--errors", str(errors))
    assert (code, out.splitlines()[0]) == (
        1,
        "2 lines imported: 1 created, 0 updated, 0 unchanged, 1 failed",
    )
    assert f"3,{mark}-2,invalid-request," in errors.read_text()
    assert errors.read_bytes().startswith(b"\xef\xbb\xbfline,")
    file.write_text(f"no,name\n{mark}-1,Ada\n{mark}-2,Bob\n")
    code, out, _ = await run("customers", str(file), *options, "--json")
    report = json.loads(out)
    assert (code, report["created"], report["unchanged"]) == (0, 1, 1)
    # The same keys of another origin are other customers.
    code, out, _ = await run("customers", str(file), *options, "--json", "--source", mark)
    assert (code, json.loads(out)["created"]) == (0, 2)


async def test_keys_of_failed_lines_run_nothing_and_break_nothing(service, sign_in, tmp_path):
    """A key may be a formula, or hold what Unicode calls a line end."""
    file, errors = tmp_path / "customers.csv", tmp_path / "errors.csv"
    keys = ["=1+1", "@SUM(1)", "a\u2028b", "c\x85d"]
    file.write_text("no,name\n" + "".join(f"{key},\n" for key in keys))
    options = ["--url", service, "--token", sign_in(AGENT), "--key-column", "no"]
    code, out, error = await run("customers", str(file), *options, "--errors", str(errors))
    assert (code, error) == (1, "")
    assert out.startswith("4 lines imported: 0 created, 0 updated, 0 unchanged, 4 failed")
    with errors.open(encoding="utf-8-sig", newline="") as written:
        told = [row["key"] for row in csv.DictReader(written)]
    assert told == ["'=1+1", "'@SUM(1)", *keys[2:]]


async def test_a_file_sent_again_with_another_map_is_told(service, sign_in, tmp_path):
    """The key that the command made up is nothing its user knows."""
    file = tmp_path / "customers.csv"
    file.write_text(f"Full name,E-Mail\n{uuid4().hex},a@example.com\n")
    options = ["--url", service, "--token", sign_in(AGENT), "--map", "Full name=name"]
    assert (await run("customers", str(file), *options))[0] == 0
    code, out, error = await run("customers", str(file), *options, "--map", "E-Mail=email")
    assert (code, out) == (1, "")
    assert "imported before, with other options" in error
    assert "Idempotency" not in error


async def test_an_address_that_is_something_else_is_told(stack, sign_in, tmp_path):
    """Exit code 3, and which option to look at."""
    file = tmp_path / "customers.csv"
    file.write_text("name\nA\n")
    options = ["--url", stack.api_url, "--token", sign_in(AGENT)]
    code, _, error = await run("customers", str(file), *options)
    assert code == 3
    assert "--url" in error


async def test_ctrl_c_ends_an_import_and_the_next_one_goes_on(service, sign_in, rest, tmp_path):
    """One line that says so; in the end every row is there once."""
    file, mark = tmp_path / "customers.csv", uuid4().hex
    file.write_text("name\n" + "".join(f"{mark} {n}\n" for n in range(20_000)))
    options = ["--url", service, "--token", sign_in(AGENT)]
    command = [sys.executable, "-m", "portalctl", "import", "customers", str(file), *options]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    ask = {"name": f"like.{mark}*", "select": "version"}

    async def written():
        return len((await rest.get("/customers", params={**ask, "limit": "1"})).json())

    await eventually(written, timeout_s=60)
    process.send_signal(signal.SIGINT)
    out, error = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert error.decode() == "import: stopped. Import again: it continues.\n"
    code, out, _ = await run("customers", str(file), *options, "--json")
    report = json.loads(out)
    assert (code, report["created"] + report["unchanged"]) == (0, 20_000)
    assert 0 < report["unchanged"] < 20_000
    counting = {"Prefer": "count=exact", "Range": "0-0"}
    found = await rest.get("/customers", params={**ask, "version": "eq.1"}, headers=counting)
    assert found.headers["content-range"].endswith("/20000")


class Spreadsheet(BaseHTTPRequestHandler):
    """A published spreadsheet; None is an outage."""

    content: ClassVar[str | None] = None

    def do_GET(self):
        """Answer with the sheet as it is now."""
        self.send_response(200 if self.content is not None else 500)
        self.end_headers()
        self.wfile.write((self.content or "").encode())

    def log_message(self, *_, **__):
        """Say nothing."""


@pytest.fixture
def sheet():
    """Serve the spreadsheet on this machine; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Spreadsheet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/sheet.csv"
    server.shutdown()
    thread.join()
    server.server_close()


class Watch:
    """A `portalctl import --every` that runs, and what it says."""

    def __init__(self, process):
        self.process = process

    async def told(self, **counts):
        """Wait for a run that says so."""
        async with asyncio.timeout(60):
            while True:
                report = json.loads(await self.process.stdout.readline())
                if {name: report[name] for name in counts} == counts:
                    return

    async def complained(self, of):
        """Wait for a complaint."""
        async with asyncio.timeout(60):
            while of not in await self.process.stderr.readline():
                pass


@contextlib.asynccontextmanager
async def watching(*arguments, env):
    """Run a watch, and stop it with Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "portalctl", "import", *arguments, "--every", "1s", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
    )
    try:
        yield Watch(process)
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 130


async def test_a_published_spreadsheet_is_kept_in_step(stack, service, sheet, rest, tmp_path):
    """Only what differs is written; what was removed is told and left; nothing ends the watch."""
    mark = uuid4().hex
    header, lines = "no,name,score", [f"{mark}-{n},Lead {n},{n}" for n in (1, 2)]

    def publish(*lines, header=header):
        Spreadsheet.content = "\n".join([header, *lines, ""])

    publish(*lines)
    env = {
        "SUPABASE_URL": stack.api_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.keys.publishable,
        "CRM_URL": service,
        "CRM_EMAIL": MANAGER.email,
        "CRM_PASSWORD": PASSWORD,
        "XDG_STATE_HOME": str(tmp_path),
    }
    command = ["leads", sheet, "--key-column", "no"]
    async with watching(*command, env=env) as watch:
        await watch.told(created=2, updated=0, removed=[])
        await watch.told(created=0, updated=0, unchanged=2, removed=[])
        publish(lines[0].replace(",1", ",77"))
        await watch.told(created=0, updated=1, unchanged=0, removed=[f"{mark}-2"])
        Spreadsheet.content = None
        await watch.complained(b"cannot be fetched")
        publish(*lines, header="number,name,score")
        await watch.complained(b"key_column names 'no', which is no header")
        publish(*lines)
        await watch.told(created=0, updated=1, unchanged=1, removed=[])
    publish(lines[1])
    async with watching(*command, env=env) as watch:
        await watch.told(created=0, unchanged=1, removed=[f"{mark}-1"])
        await watch.told(created=0, unchanged=1, removed=[])
    (kept,) = (tmp_path / "portalctl").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    code, _, error = await run(*command, "--every", "1s", env={**env, "CRM_TOKEN": "x.y.z"})
    assert code == 1
    assert "CRM_EMAIL" in error
    code, _, error = await run(*command, env={**env, "CRM_PASSWORD": "wrong"})
    assert code == 1
    assert "refused the sign-in" in error
    names = {"name": "in.(Lead 1,Lead 2)", "order": "created_at.desc", "limit": "2"}
    people = await rest.get(
        "/customers", params={**names, "select": "version,leads(score,version)"}
    )
    stored = sorted(
        (p["leads"]["score"], p["version"], p["leads"]["version"]) for p in people.json()
    )
    assert stored == [(1, 1, 3), (2, 1, 1)]


async def test_a_person_sees_a_bar_and_a_program_does_not(service, sign_in, tmp_path):
    """On a terminal only, on standard error, and gone at the end."""
    file = tmp_path / "customers.csv"
    mark = uuid4().hex
    file.write_text("no,name\n" + "".join(f"{mark}-{n},Ada\n" for n in range(300)))
    options = ["--url", service, "--token", sign_in(AGENT), "--key-column", "no", "--dry-run"]
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "portalctl", "import", "customers", str(file), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = await asyncio.to_thread(_read_all, ours)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert "customers" in shown
    assert "100%" in shown
    assert "\x1b[2K" in shown.partition("100%")[2]
    assert out.decode().startswith("300 lines checked: 300 created")
    code, out, error = await run("customers", str(file), *options)
    assert (code, error) == (0, "")


def _read_all(terminal):
    """Return what a program writes to its terminal until it ends."""
    shown = b""
    try:
        while piece := os.read(terminal, 65_536):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(terminal)
    return shown.decode()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cats", "x.csv"], "customers, leads or jobs"),
        (["leads", "x.csv"], "CRM_TOKEN"),
        (["leads", "x.csv", "--token", "t", "--every", "1m"], "--key-column"),
        (["leads", "x.csv", "--token", "t", "--state", "s.json"], "--key-column"),
        (["leads", "x.csv", "--email", "a@b.c"], "SUPABASE_URL"),
        (["leads", "no-such-file.csv", "--token", "t"], "cannot be read"),
        (["leads", "x.csv", "--token", "t", "--map", "Full name"], "Header=column"),
        (["leads", "x.csv", "--token", "t", "--url", "127.0.0.1:8000"], "http://"),
        (
            ["leads", "none.csv", "--token", "t", "--every", "1h", "--key-column", "no"],
            "cannot be read",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, says, capfd):
    """Exit code 2 and what to do."""
    code = app.run(["import", *arguments])
    error = capfd.readouterr().err
    assert code == 2
    assert says in error
    assert len(error.strip().splitlines()) == 1


async def test_a_service_that_does_not_run_is_told(tmp_path):
    """Exit code 3."""
    file = tmp_path / "a.csv"
    file.write_text("name\nA\n")
    code, _, error = await run(
        "customers", str(file), "--token", "t", "--url", "http://127.0.0.1:1"
    )
    assert code == 3
    assert "running" in error


class Failing(BaseHTTPRequestHandler):
    """A service whose database goes away in the middle, or that then says nothing more."""

    silent: ClassVar[threading.Event | None] = None

    def do_POST(self):
        """Begin, and do not come to an end."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b'event: progress\ndata: {"read": 1}\n\n')
        if self.silent is not None:
            self.silent.wait(30)
            return
        told = b'{"code": "database-unavailable", "status": 503, "detail": "It is away."}'
        self.wfile.write(b"event: problem\ndata: " + told + b"\n\n")

    def log_message(self, *_, **__):
        """Say nothing."""


@pytest.fixture
def failing():
    """Serve it on this machine; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_an_outage_in_the_middle_is_told_as_one(failing, tmp_path):
    """Exit code 3, as for one at the beginning."""
    file = tmp_path / "customers.csv"
    file.write_text("name\nA\n")
    code, _, error = await run("customers", str(file), "--url", failing, "--token", "t")
    assert (code, error) == (3, "portalctl: It is away. Import again: it continues.\n")


async def test_a_service_that_falls_silent_is_given_up(failing, monkeypatch):
    """A watch must not wait for ever."""
    ended = threading.Event()
    monkeypatch.setattr(Failing, "silent", ended)
    monkeypatch.setattr(records, "_PAUSE_S", 0.2)
    async with CrmClient(failing, "t") as client:
        events = client.import_csv("customers", b"name\nA\n", key="k")
        assert await anext(events) == ("progress", {"read": 1})
        with pytest.raises(CrmUnreachableError):
            await anext(events)
    ended.set()


async def test_a_sheet_without_an_end_is_given_up(sheet, monkeypatch):
    """Not a byte more than an import takes is kept."""
    monkeypatch.setattr(Spreadsheet, "content", "name\n" + "A\n" * 100)
    assert len(await read_sheet(sheet)) == 205
    monkeypatch.setattr(sheet_module, "_MAX_BYTES", 204)
    with pytest.raises(CommandError, match="32 MiB"):
        await read_sheet(sheet)


def test_intervals_are_read():
    """Seconds, minutes, hours."""
    assert [interval_s(text) for text in ("30s", "10m", "1h")] == [30, 600, 3600]
    for text in ("10", "0m", "-1s", "1d", ""):
        with pytest.raises(UsageError):
            interval_s(text)


def test_keys_are_those_of_the_column():
    """Quoted ones too; a broken file has none."""
    assert keys_of(b'no,name\n1,A\n"2 ",B\n,C\n', "no") == {"1", "2"}
    assert keys_of(b"\xff", "no") == set()


def test_what_was_kept_of_a_file_survives(tmp_path):
    """Told until it is remembered; what cannot be read is not taken for nothing."""
    path = tmp_path / "state" / "lines.json"
    lines = KnownLines(path)
    assert lines.gone_from({"1", "2"}) == []
    lines.remember({"1", "2"})
    assert KnownLines(path).gone_from({"2"}) == ["1"]
    assert KnownLines(path).gone_from({"2"}) == ["1"]
    path.write_text('{"format": 1, "ke')
    with pytest.raises(EnvironmentUnusableError, match="Delete it"):
        KnownLines(path).gone_from(set())
    assert default_path("a", "b") != default_path("a", "c")
