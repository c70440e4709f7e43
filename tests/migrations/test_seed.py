"""The demo data: how much there is, that every state occurs, and that it is the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from tests.support.cluster import Database

SEED = Path(__file__).parents[2] / "supabase" / "seed.sql"
COUNTS = {
    "staff where active": 3,
    "staff where not active": 1,
    "customers": 200,
    "customers where portal_user_id is not null": 50,
}
ROUGHLY = {"jobs": 1_000, "invoices": 600, "messages": 2_000, "loyalty_transactions": 1_500}
STATES = {
    "jobs": {"requested", "scheduled", "in_progress", "completed", "cancelled"},
    "invoices": {"draft", "sent", "paid", "overdue", "void"},
    "leads": {"new", "contacted", "qualified", "demo_scheduled", "won", "lost"},
}


async def test_the_seed_has_the_promised_numbers(database: Database) -> None:
    """People are counted exactly, business rows to within a tenth."""
    connection = await asyncpg.connect(database.url)
    try:
        for what, expected in COUNTS.items():
            assert await connection.fetchval(f"select count(*) from public.{what}") == expected, (
                what
            )
        for table, expected in ROUGHLY.items():
            count = await connection.fetchval(f"select count(*) from public.{table}")
            assert count == pytest.approx(expected, rel=0.1), table
    finally:
        await connection.close()


async def test_every_state_occurs_in_the_seed(database: Database) -> None:
    """A screen for any state has something to show."""
    connection = await asyncpg.connect(database.url)
    try:
        for table, expected in STATES.items():
            rows = await connection.fetch(f"select distinct status from public.{table}")
            assert {row["status"] for row in rows} == expected, table
    finally:
        await connection.close()


def test_the_seed_draws_nothing_by_chance() -> None:
    """The same rows on every machine and on every day."""
    code = re.sub(r"--[^\n]*", "", SEED.read_text(encoding="utf-8"))
    assert not re.search(r"\b(random|gen_random_uuid|now|clock_timestamp)\s*\(", code)
