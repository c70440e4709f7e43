"""What must hold of a feed, computed from the tables and not from the feed's own functions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Slices = dict[str, dict[tuple[str, str], dict[str, Any]]]

VISIBLE: Mapping[str, str] = {
    "customers": (
        "select id as customer, to_jsonb(t) as row from customers t where deleted_at is null"
    ),
    "jobs": (
        "select customer_id as customer, to_jsonb(t) as row from jobs t where deleted_at is null"
    ),
    "invoices": (
        "select customer_id as customer, to_jsonb(t) as row from invoices t "
        "where deleted_at is null and status in ('sent', 'paid', 'overdue', 'void')"
    ),
    "messages": (
        "select customer_id as customer, to_jsonb(t) as row from messages t "
        "where deleted_at is null"
    ),
    "loyalty_transactions": (
        "select customer_id as customer, to_jsonb(t) as row from loyalty_transactions t"
    ),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log as a reader meets it."""

    n: int
    table: str
    row_id: str
    op: str
    version: int
    row: dict[str, Any] | None


@dataclass(slots=True)
class Replica:
    """A reader's copy of one scope; `faults` says what a correct feed never does."""

    last: int = 0
    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: list[tuple[int, str, str, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def apply(self, changes: Iterable[Change]) -> None:
        """Apply changes in order."""
        for change in changes:
            key = (change.table, change.row_id)
            if change.n != self.last + 1:
                self.faults.append(f"n {change.n} after {self.last}")
            if change.op == "upsert" and change.version < self.versions.get(key, 0):
                self.faults.append(f"{key} went back to version {change.version}")
            self.last = change.n
            self.versions[key] = change.version
            self.seen.append((change.n, change.row_id, change.op, change.version))
            if change.op == "remove":
                # Deleted for good, the same id may begin again at version 1.
                self.versions.pop(key)
                self.rows.pop(key, None)
            elif change.row is not None:
                self.rows[key] = change.row


def parse_changes(pulled: Mapping[str, Any]) -> list[Change]:
    """Return the changes of a portal_pull answer."""
    return [
        Change(c["n"], c["table"], c["row_id"], c["op"], c["version"], c["row"])
        for c in pulled["changes"]
    ]


async def read_log(connection: Connection) -> dict[str, list[Change]]:
    """Return the whole log by scope, as stored."""
    log: dict[str, list[Change]] = defaultdict(list)
    records = await connection.fetch("select * from sync_changes order by scope, n")
    for r in records:
        row = None if r["row"] is None else json.loads(r["row"])
        log[r["scope"]].append(
            Change(r["n"], r["table_name"], str(r["row_id"]), r["op"], r["version"], row)
        )
    return dict(log)


async def read_slices(connection: Connection) -> Slices:
    """Return what each customer may see, from the tables."""
    await connection.execute("set timezone to 'UTC'")
    slices: Slices = defaultdict(dict)
    for table, query in VISIBLE.items():
        for record in await connection.fetch(query):
            row = json.loads(record["row"])
            slices[f"customer:{record['customer']}"][table, row["id"]] = row
    return dict(slices)


def replay(
    log: Mapping[str, Iterable[Change]], floors: Mapping[str, int] | None = None
) -> dict[str, Replica]:
    """Replay a log from its floors; a scope whose customer was erased and made anew has one."""
    replicas: dict[str, Replica] = {}
    for scope, changes in log.items():
        replicas[scope] = Replica(last=(floors or {}).get(scope, 0))
        replicas[scope].apply(changes)
    return replicas


async def faults_of_feed(connection: Connection) -> list[str]:
    """Return everything that is wrong with the feed of a database; empty when it is right."""
    log = await read_log(connection)
    slices = await read_slices(connection)
    heads = await connection.fetch("select scope, n, floor from sync_scopes")
    replicas = replay(log, {head["scope"]: head["floor"] for head in heads})
    faults = [f"{scope}: {fault}" for scope, r in replicas.items() for fault in r.faults]
    for scope in sorted(set(slices) | set(replicas)):
        expected = slices.get(scope, {})
        actual = replicas[scope].rows if scope in replicas else {}
        faults += [f"{scope}: lost {key}" for key in sorted(set(expected) - set(actual))]
        faults += [f"{scope}: leaked {key}" for key in sorted(set(actual) - set(expected))]
        faults += [
            f"{scope}: {key} differs"
            for key in sorted(set(expected) & set(actual))
            if expected[key] != actual[key]
        ]
        faults += [
            f"{scope}: payload of {change.table} {change.row_id} still readable at {change.n}"
            for change in log.get(scope, [])
            if change.row is not None and (change.table, change.row_id) not in expected
        ]
    faults += [
        f"{scope}: {change.op} of {change.table} at {change.n} is no entry of the log"
        for scope, changes in log.items()
        for change in changes
        if change.op not in {"upsert", "remove"}
        or (change.op == "remove" and change.row is not None)
    ]
    faults += [
        f"{h['scope']}: head {h['n']}, log ends at {replicas[h['scope']].last}"
        for h in heads
        if h["scope"] not in replicas or replicas[h["scope"]].last != h["n"]
    ]
    pending = await connection.fetchval("select count(*) from private.sync_pending")
    if pending:
        faults.append(f"{pending} pending entries left behind")
    return faults
