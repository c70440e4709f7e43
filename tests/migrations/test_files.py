"""The migration files themselves: names, headers, size, habits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "supabase" / "migrations").iterdir())
NAME = re.compile(r"^\d{14}_[a-z0-9_]+\.sql$")
MAX_LINES = 150
PORTAL_TABLE = re.compile(
    r"alter table (?:if exists )?(?:only )?(?:public\.)?"
    r"(?:customers|jobs|invoices|messages|loyalty_transactions)\b"
)
NEW_TYPE = re.compile(r"alter (?:column )?\S+ (?:set data )?type\b")


def test_there_are_migrations_in_one_order() -> None:
    assert len(FILES) > 20
    versions = [file.name[:14] for file in FILES]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_migration_is_named_headed_limited_and_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert NAME.match(file.name)
    for heading in ("-- Purpose:", "-- Tables:", "-- Locks:", "-- Undo:"):
        assert heading in text, heading
    assert "set lock_timeout = '2s';" in text
    assert len(text.splitlines()) <= MAX_LINES
    assert not re.search(r"if not exists (?!\()|\t| +$", text, re.IGNORECASE | re.MULTILINE)
    # The first cut makes everything new; what comes after it may replace a function's body.
    assert file.name >= "20261102" or "create or replace" not in text
    code = re.sub(r"--.*|'(?:[^']|'')*'", "", text)
    upper = re.findall(r"\b(?:SELECT|CREATE|INSERT|GRANT|ALTER|FROM|WHERE)\b", code)
    assert upper == [], "SQL is written in lower case"


def test_every_created_table_is_locked_down_in_the_same_file() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        for table in re.findall(r"create (?:unlogged )?table ([a-z_.]+)", text):
            assert f"alter table {table} enable row level security;" in text, table
            if table.startswith("public."):
                assert (
                    f"revoke all on {table} from public, anon, authenticated, service_role;" in text
                )


def _leaves_caches_behind(text: str) -> bool:
    """Whether rows of portals get values of another type without a version, and no new epoch."""
    code = " ".join(re.sub(r"--.*", "", text).split())
    changes = any(PORTAL_TABLE.search(each) and NEW_TYPE.search(each) for each in code.split(";"))
    return changes and "private.new_sync_epoch()" not in code


def test_a_new_type_of_a_portal_tables_column_begins_a_new_epoch() -> None:
    """Portals would notice at their next verification (SYNC-23); so they notice at once."""
    assert [file.name for file in FILES if _leaves_caches_behind(file.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("sql", "leaves"),
    [
        ("alter table public.jobs\n    alter column title type varchar(9);", True),
        ("alter table only jobs alter title set data type varchar(9);", True),
        ("alter table jobs alter title type text; select private.new_sync_epoch();", False),
        ("alter table jobs alter title type text; -- select private.new_sync_epoch();", True),
        ("alter table jobs alter title set default 'type';", False),
        ("alter table calls alter column outcome type text;", False),
    ],
)
def test_that_is_told_by_its_statements(sql: str, leaves: bool) -> None:
    assert _leaves_caches_behind(sql) is leaves
