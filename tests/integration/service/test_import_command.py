"""`portalctl import` against a running service."""

import asyncio
import json
import sys
from uuid import uuid4

import pytest

from portalctl.commands.import_ import interval_s, keys_of
from portalctl.exits import UsageError
from tests.integration.service.test_process import serving
from tests.support.personas import AGENT


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
