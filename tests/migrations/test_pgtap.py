"""The pgTAP tests of `supabase/tests`, on Debian's PostgreSQL 15 where both are installed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from portalctl.commands.db import psql_variables
from tests.support.cluster import DEBIAN_INSTALLS, MIGRATED, REPOSITORY, Database, cluster_of

FILES = sorted((REPOSITORY / "supabase" / "tests").glob("*.test.sql"))
MAJOR = 15
CONTROL = Path(f"/usr/share/postgresql/{MAJOR}/extension/pgtap.control")


@pytest.fixture(scope="module")
def with_pgtap() -> Iterator[Database]:
    if not (CONTROL.exists() and (DEBIAN_INSTALLS / str(MAJOR)).exists()):
        pytest.skip(f"pgTAP is not installed: apt-get install postgresql-{MAJOR}-pgtap")
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed: apt-get install postgresql-client")
    with cluster_of(MAJOR) as cluster:
        database = cluster.clone(MIGRATED, "pgtap")
        asyncio.run(install_pgtap(database))
        yield database


async def install_pgtap(database: Database) -> None:
    connection = await asyncpg.connect(database.admin_url)
    try:
        await connection.execute("create extension pgtap schema extensions")
    finally:
        await connection.close()


def run_tap(database: Database, text: str) -> list[str]:
    """Run a file as the project's owner; return the TAP lines."""
    result = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"],
        input=text, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, **psql_variables(database.url)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def verdict(lines: list[str]) -> tuple[int, int, list[str]]:
    """Return how many tests were planned, how many passed, and what is wrong."""
    plan = next(int(line[3:]) for line in lines if line.startswith("1.."))
    passed = [line for line in lines if re.match(r"ok \d+", line)]
    wrong = [line for line in lines if line.startswith(("not ok", "#"))]
    return plan, len(passed), wrong


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_pgtap_file_passes(with_pgtap: Database, file: Path) -> None:
    plan, passed, wrong = verdict(run_tap(with_pgtap, file.read_text(encoding="utf-8")))
    assert wrong == []
    assert (plan, plan > 0) == (passed, True)


def test_a_policy_that_is_dropped_turns_the_files_red(with_pgtap: Database) -> None:
    text = FILES[0].read_text(encoding="utf-8")
    fault = 'drop policy "staff read calls" on public.calls;'
    _, _, wrong = verdict(run_tap(with_pgtap, text.replace("begin;", f"begin; {fault}", 1)))
    assert any("policies of calls" in line for line in wrong)
