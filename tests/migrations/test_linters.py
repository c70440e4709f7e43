"""Linters find nothing in the migrated database and in the migrations, and can find something."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.migrations.lints import CANARIES, LINTS
from tests.support.cluster import MIGRATED, REPOSITORY, Database, TestCluster

CONFIG = REPOSITORY / ".squawk.toml"
MIGRATIONS = sorted((REPOSITORY / "supabase" / "migrations").glob("*.sql"))


@pytest.fixture(scope="module")
def migrated(cluster: TestCluster) -> Iterator[Database]:
    database = cluster.clone(MIGRATED, "linters")
    yield database
    cluster.drop(database)


async def findings(connection: asyncpg.Connection, lint: str) -> list[str]:
    # With an empty path every name is printed with its schema, as the lints expect it.
    await connection.execute("set local pgrst.db_schemas = 'public'; set local search_path = ''")
    return sorted(str(row[0]) for row in await connection.fetch(LINTS[lint]))


@pytest.mark.parametrize("lint", LINTS)
async def test_the_lint_finds_its_canary_and_nothing_else(migrated: Database, lint: str) -> None:
    canary = next(sql for name, sql in CANARIES.items() if lint.startswith(name))
    connection = await asyncpg.connect(migrated.admin_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        clean = await findings(connection, lint)
        await connection.execute(f"set local search_path = public; {canary}")
        assert len(await findings(connection, lint)) > len(clean), "the lint is blind"
        assert clean == []
    finally:
        await transaction.rollback()
        await connection.close()


def squawk() -> str:
    """Return the program; skip where it is not installed."""
    beside = Path(sys.executable).with_name("squawk")
    found = str(beside) if beside.exists() else shutil.which("squawk")
    if found is None:
        pytest.skip("squawk is not installed: pip install squawk-cli")
    return found


def run_squawk(*files: Path) -> list[dict[str, object]]:
    words = ["--config", str(CONFIG), "--reporter", "json", *map(str, files)]
    result = subprocess.run(
        [squawk(), *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode in {0, 1}, result.stderr
    return json.loads(result.stdout or "[]")


def test_squawk_finds_a_dangerous_migration(tmp_path: Path) -> None:
    file = tmp_path / "20300101000000_bad.sql"
    timeouts = "set lock_timeout = '2s';\nset statement_timeout = '60s';\n"
    file.write_text(f"{timeouts}alter table public.jobs drop column title;\n")
    assert {finding["rule_name"] for finding in run_squawk(file)} == {"ban-drop-column"}


def test_squawk_finds_nothing_in_the_migrations() -> None:
    assert run_squawk(*MIGRATIONS) == []


def test_every_exception_of_squawk_has_its_reason() -> None:
    lines = CONFIG.read_text(encoding="utf-8").splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith('    "')]
    assert rules
    for number in rules:
        assert lines[number - 1].startswith("    #"), lines[number]
