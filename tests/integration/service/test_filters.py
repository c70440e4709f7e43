"""Every filter and every order of every list, against what SQL finds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.support.personas import ADMIN, AGENT, customer_id

OWN = customer_id(1)
DAY = "2026-10-01T00:00:00Z"
THERE = "deleted_at is null"
PAGING = {"limit", "cursor", "sort", "q"}  # searches: test_searching.py; pages: test_lists.py

# Of each list: its table, its key, what it never shows, and what each filter must find.
LISTS: dict[str, tuple[str, str, str, dict[str, list[tuple[str, str]]]]] = {
    "customers": (
        "customers",
        "id",
        THERE,
        {
            "branch": [("north", "branch = 'north'"), ("nowhere", "branch = 'nowhere'")],
            "has_portal": [
                ("true", "portal_user_id is not null"),
                ("false", "portal_user_id is null"),
            ],
            "deleted": [("true", "deleted_at is not null")],
        },
    ),
    "leads": (
        "leads",
        "customer_id",
        "true",
        {
            "status": [("new", "status = 'new'"), ("won&status=lost", "status in ('won', 'lost')")],
            "assigned_to": [
                (AGENT.uid, f"assigned_to = '{AGENT.uid}'"),
                ("me", f"assigned_to = '{ADMIN.uid}'"),
                ("nobody", "assigned_to is null"),
            ],
            "min_score": [("50", "score >= 50")],
            "follow_up_from": [(DAY, f"next_follow_up_at >= '{DAY}'")],
            "follow_up_before": [(DAY, f"next_follow_up_at < '{DAY}'")],
        },
    ),
    f"customers/{OWN}/lead/notes": (
        "lead_notes",
        "id",
        f"customer_id = '{OWN}'",
        {"kind": [(kind, f"kind = '{kind}'") for kind in ("call", "email", "meeting", "general")]},
    ),
    "calls": (
        "calls",
        "id",
        "true",
        {
            "customer_id": [(OWN, f"customer_id = '{OWN}'")],
            "staff_id": [
                (AGENT.uid, f"staff_id = '{AGENT.uid}'"),
                ("me", f"staff_id = '{ADMIN.uid}'"),
            ],
            "direction": [("inbound", "direction = 'inbound'")],
            "outcome": [("busy&outcome=demo_booked", "outcome in ('busy', 'demo_booked')")],
            "since": [(DAY, f"started_at >= '{DAY}'")],
            "until": [(DAY, f"started_at < '{DAY}'")],
        },
    ),
    "jobs": (
        "jobs",
        "id",
        THERE,
        {
            "customer_id": [(OWN, f"customer_id = '{OWN}'")],
            "status": [("requested&status=cancelled", "status in ('requested', 'cancelled')")],
            "starts_from": [(DAY, f"scheduled_start >= '{DAY}'")],
            "starts_before": [(DAY, f"scheduled_start < '{DAY}'")],
            "assigned_to": [
                (who, f"id in (select job_id from job_assignments where assigned_to = '{uid}')")
                for who, uid in ((AGENT.uid, AGENT.uid), ("me", ADMIN.uid))
            ]
            + [
                (
                    f"nobody&customer_id={OWN}",
                    f"customer_id = '{OWN}' and id not in"
                    " (select job_id from job_assignments where assigned_to is not null)",
                )
            ],
            "deleted": [("true", "deleted_at is not null")],
        },
    ),
    "invoices": (
        "invoices",
        "id",
        THERE,
        {
            "customer_id": [(OWN, f"customer_id = '{OWN}'")],
            "status": [("draft&status=void", "status in ('draft', 'void')")],
            "due_from": [("2026-10-01", "due_on >= '2026-10-01'")],
            "due_before": [("2026-10-01", "due_on < '2026-10-01'")],
            "deleted": [("true", "deleted_at is not null")],
        },
    ),
    "messages": (
        "messages",
        "id",
        THERE,
        {
            "customer_id": [(OWN, f"customer_id = '{OWN}'")],
            "unread": [("true", "sender = 'customer' and read_at is null")],
            "deleted": [("true", "deleted_at is not null")],
        },
    ),
    "loyalty/entries": (
        "loyalty_transactions",
        "id",
        "true",
        {
            "customer_id": [(OWN, f"customer_id = '{OWN}'")],
            "kind": [("redeem", "kind = 'redeem'")],
            "since": [(DAY, f"created_at >= '{DAY}'")],
            "until": [(DAY, f"created_at < '{DAY}'")],
        },
    ),
    "staff": (
        "staff",
        "user_id",
        "true",
        {
            "role": [("agent", "role = 'agent'")],
            "active": [("true", "active"), ("false", "not active")],
        },
    ),
}


_ADD = [
    f"insert into leads (customer_id) values ('{OWN}') on conflict do nothing",
    *(
        f"insert into lead_notes (customer_id, kind, body) values ('{OWN}', '{kind}', 'filtered')"
        for kind in ("call", "email", "meeting")
    ),
    *(
        f"insert into job_assignments (job_id, assigned_to) select id, '{uid}' from jobs j"
        " where not exists (select from job_assignments a where a.job_id = j.id)"
        f" and not exists (select from job_assignments where assigned_to = '{uid}')"
        " and deleted_at is null order by id limit 1"
        for uid in (AGENT.uid, ADMIN.uid)
    ),
]
_TAKE_AWAY = [
    "delete from lead_notes where body = 'filtered'",
    f"delete from job_assignments where assigned_to = '{ADMIN.uid}'",
]


@pytest.fixture
async def database(stack) -> AsyncIterator[asyncpg.Connection]:
    """The database itself, with something to find for each filter."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        for statement in _ADD:
            await connection.execute(statement)
        yield connection
        for statement in _TAKE_AWAY:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def read_all(http, sign_in):
    """Reads a list to its end; the rows in their order."""

    async def read_all(path: str, query: str) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {sign_in(ADMIN)}"}
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            response = await http.get(f"/v1/{path}?limit=200&{query}{cursor}", headers=headers)
            assert response.status_code == 200, response.text
            page = response.json()
            rows += page["items"]
            if page["next_cursor"] is None:
                return rows
            cursor = f"&cursor={page['next_cursor']}"

    return read_all


def parameters_of(app, path: str) -> dict[str, Any]:
    """The query parameters of a list."""
    template = f"/v1/{path.replace(OWN, '{customer_id}')}"
    operation = app.openapi()["paths"][template]["get"]
    return {p["name"]: p["schema"] for p in operation["parameters"] if p["in"] == "query"}


@pytest.mark.parametrize("path", LISTS)
async def test_every_filter_finds_what_sql_finds(app, read_all, database, path):
    """And every filter of the list is tried."""
    table, key, always, filters = LISTS[path]
    assert filters.keys() == parameters_of(app, path).keys() - PAGING
    for name, cases in filters.items():
        for value, condition in cases:
            shown = condition if name == "deleted" else f"{condition} and {always}"
            wanted = await database.fetch(f"select {key} from {table} where {shown}")
            found = [row[key] for row in await read_all(path, f"{name}={value}")]
            assert sorted(found) == sorted(str(row[key]) for row in wanted), f"{name}={value}"


@pytest.mark.parametrize("path", LISTS)
async def test_every_order_has_every_row_with_a_value_once(app, read_all, database, path):
    """Up and down; rows of the same value are in the order of their keys."""
    table, key, always, _ = LISTS[path]
    scope = f"customer_id = '{OWN}'" if path in {"messages", "jobs", "invoices"} else "true"
    query = f"customer_id={OWN}&" if scope != "true" else ""
    for order in parameters_of(app, path)["sort"]["enum"]:
        column, way = order.removeprefix("-"), "desc" if order.startswith("-") else "asc"
        wanted = await database.fetch(
            f"select {key} from {table} where {always} and {scope} and {column} is not null"
            f" order by {column} {way}, {key} {way}"
        )
        found = [row[key] for row in await read_all(path, f"{query}sort={order}")]
        assert found == [str(row[key]) for row in wanted], order
