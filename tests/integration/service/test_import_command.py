"""`portalctl import` against a running service."""

import asyncio
import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from uuid import uuid4

import pytest

from portalctl.commands.import_ import interval_s, keys_of
from portalctl.exits import UsageError
from tests.integration.service.test_process import serving
from tests.support.personas import AGENT, MANAGER


async def run(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "portalctl",
        "import",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


async def test_a_file_is_imported_and_again(stack, sign_in, tmp_path):
    """Counts on standard output, failed lines in a file, exit code 1 while a line fails."""
    file, errors = tmp_path / "customers.csv", tmp_path / "errors.csv"
    mark = uuid4().hex
    file.write_text(f"no,name\n{mark}-1,Ada\n{mark}-2,\n")
    async with serving(stack) as (_, url):
        options = ["--url", url, "--token", sign_in(AGENT), "--key-column", "no"]
        code, out, _ = await run("customers", str(file), *options, "--errors", str(errors))
        assert (code, out.splitlines()[0]) == (
            1,
            "2 lines imported: 1 created, 0 updated, 0 unchanged, 1 failed",
        )
        assert f"3,{mark}-2,invalid-request," in errors.read_text()
        file.write_text(f"no,name\n{mark}-1,Ada\n{mark}-2,Bob\n")
        code, out, _ = await run("customers", str(file), *options, "--json")
        report = json.loads(out)
        assert (code, report["created"], report["unchanged"]) == (0, 1, 1)


class Spreadsheet(BaseHTTPRequestHandler):
    """A published spreadsheet; None is an outage."""

    content: ClassVar[str | None] = None

    def do_GET(self):
        """Answer with the sheet as it is now."""
        self.send_response(200 if self.content is not None else 500)
        self.end_headers()
        self.wfile.write((self.content or "").encode())

    def log_message(self, *_):
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


async def test_a_published_spreadsheet_is_kept_in_step(stack, sign_in, sheet, rest):
    """Only what differs is written; what was removed is told and left; outages end nothing."""
    mark = uuid4().hex
    header, lines = "no,name,score", [f"{mark}-{n},Lead {n},{n}" for n in (1, 2)]

    def publish(*lines):
        Spreadsheet.content = "\n".join([header, *lines, ""])

    publish(*lines)
    async with serving(stack) as (_, url):
        command = [sys.executable, "-m", "portalctl", "import", "leads", sheet, "--every", "1s"]
        options = ["--url", url, "--token", sign_in(MANAGER), "--key-column", "no", "--json"]
        process = await asyncio.create_subprocess_exec(
            *command, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )

        async def told(**counts):
            """Wait for a run that says so."""
            async with asyncio.timeout(60):
                while True:
                    report = json.loads(await process.stdout.readline())
                    if {name: report[name] for name in counts} == counts:
                        return

        await told(created=2, updated=0, removed=[])
        await told(created=0, updated=0, unchanged=2, removed=[])
        publish(lines[0].replace(",1", ",77"))
        await told(created=0, updated=1, unchanged=0, removed=[f"{mark}-2"])
        Spreadsheet.content = None
        async with asyncio.timeout(60):
            assert b"cannot be fetched" in await process.stderr.readline()
        publish(*lines)
        await told(created=0, updated=1, unchanged=1, removed=[])
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130
    names = {"name": "in.(Lead 1,Lead 2)", "order": "created_at.desc", "limit": "2"}
    people = await rest.get(
        "/customers", params={**names, "select": "version,leads(score,version)"}
    )
    stored = sorted(
        (p["leads"]["score"], p["version"], p["leads"]["version"]) for p in people.json()
    )
    assert stored == [(1, 1, 3), (2, 1, 1)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cats", "x.csv"], "customers, leads or jobs"),
        (["leads", "x.csv"], "CRM_TOKEN"),
        (["leads", "x.csv", "--token", "t", "--every", "1m"], "--key-column"),
        (["leads", "no-such-file.csv", "--token", "t"], "cannot be read"),
    ],
)
async def test_a_wrong_command_line_is_one_line(arguments, says):
    """Exit code 2 and what to do."""
    code, _, error = await run(*arguments)
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
