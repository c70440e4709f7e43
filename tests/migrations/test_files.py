"""The migration files themselves: names, headers, size, habits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "supabase" / "migrations").iterdir())
NAME = re.compile(r"^\d{14}_[a-z0-9_]+\.sql$")
MAX_LINES = 150


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
