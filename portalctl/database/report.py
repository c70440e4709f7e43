"""Find who can do what by trying it, inside transactions that are rolled back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from portalctl.database.personas import Caller, become, find_callers

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = asyncpg.Connection[asyncpg.Record]

VERBS = ("select", "insert", "update", "delete")
SAMPLE_ROWS = 20
_TABLES = """
    select c.oid, c.relname as name,
        (select array_agg(a.attname::text order by a.attnum) from pg_attribute as a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         and a.attgenerated = '' and a.attidentity <> 'a') as columns,
        (select array_agg(a.attname::text) from pg_index as i
         join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey)
         where i.indrelid = c.oid and i.indisprimary) as key
    from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 2"""
_MAY_COLUMN = """
    select c from unnest($1::text[]) with ordinality as u (c, i)
    where has_column_privilege($2, $3::oid, c, $4) order by i"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one caller got from one verb on one table.

    Attributes:
        outcome: yes, `n/m rows`, no rows, no grant, policy, guard, empty (nothing to try on), or
            `rule` and the SQLSTATE of the constraint or trigger that refused; triggers run before
            the check of a policy, so that a rule may hide the policy behind it.
    """

    table: str
    verb: str
    caller: str
    outcome: str


@dataclass(frozen=True, slots=True)
class _Table:
    oid: int
    name: str
    columns: list[str]
    key: list[str]

    @property
    def sql(self) -> str:
        return f"public.{_quoted(self.name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def report(
    connection: Connection, on_progress: Callable[[str, int, int], None] | None = None
) -> list[Finding]:
    """Try every verb on every table as every caller.

    At most `SAMPLE_ROWS` rows of a table are touched, each attempt for milliseconds; nothing is
    committed. Triggers run, so sequences may advance.

    Args:
        connection: As a role that may become the API's roles and sees every row (postgres).
        on_progress: Called before each table with its name, its number from 1 and their count.
    """
    callers = await find_callers(connection)
    tables = [_Table(r["oid"], r["name"], r["columns"], r["key"] or []) for r in
              await connection.fetch(_TABLES)]  # fmt: skip
    findings = []
    for number, table in enumerate(tables, start=1):
        if on_progress is not None:
            on_progress(table.name, number, len(tables))
        for caller in callers:
            sample = await _sample(connection, table, caller)
            for verb in VERBS:
                outcome = await _try(connection, table, verb, caller, sample)
                findings.append(Finding(table.name, verb, caller.name, outcome))
    return findings


async def _sample(connection: Connection, table: _Table, caller: Caller) -> list[dict[str, Any]]:
    """Return rows to try on, the caller's own ones first, as the owner sees them."""
    own = {"customers": "id", "sync_scopes": "scope", "sync_changes": "scope"}.get(
        table.name, "customer_id" if "customer_id" in table.columns else ""
    )
    value = f"customer:{caller.customer}" if own == "scope" else caller.customer
    half = SAMPLE_ROWS // 2
    found: list[str] = []
    if own and caller.customer:
        found = [r[0] for r in await connection.fetch(
            f"select to_jsonb(t)::text from {table.sql} as t where {_quoted(own)}::text = $1 "
            f"limit {half}", value)]  # fmt: skip
    condition = (
        f"where {_quoted(own)}::text is distinct from $1" if own else "where $1::text is null"
    )
    others = await connection.fetch(
        f"select to_jsonb(t)::text from {table.sql} as t {condition} limit {SAMPLE_ROWS}",
        value if own and caller.customer else None,
    )
    found += [r[0] for r in others]
    return [json.loads(text) for text in found[:SAMPLE_ROWS]]


async def _try(
    connection: Connection, table: _Table, verb: str, caller: Caller, sample: list[dict[str, Any]]
) -> str:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("set local lock_timeout = '500ms'")
        statement, values = await _statement(connection, table, verb, caller, sample)
        if statement is None:
            return "no grant"
        if not sample:
            return await _granted(connection, table, verb, caller)
        await become(connection, caller)
        if verb == "insert":
            return await _try_inserts(connection, statement, values)
        count = await connection.fetchval(
            f"with done as ({statement}) select count(*) from done", *values
        )
    except asyncpg.PostgresError as error:
        return _refusal(error)
    else:
        if count == 0:
            return "no rows"
        return "yes" if count == len(sample) else f"{count}/{len(sample)} rows"
    finally:
        await transaction.rollback()


async def _try_inserts(connection: Connection, statement: str, values: list[Any]) -> str:
    """Try a copy of every sampled row; one that passes is enough, else all refusals are named."""
    outcomes: set[str] = set()
    for row in json.loads(values[0]):
        savepoint = connection.transaction()
        await savepoint.start()
        try:
            await connection.execute(statement, json.dumps([row]))
        except asyncpg.PostgresError as error:
            outcomes.add(_refusal(error))
        else:
            return "yes"
        finally:
            await savepoint.rollback()
    return ", ".join(sorted(outcomes))


async def _statement(
    connection: Connection, table: _Table, verb: str, caller: Caller, sample: list[dict[str, Any]]
) -> tuple[str | None, list[Any]]:
    """Return the statement that tries a verb on the sample; None without any grant for it."""
    columns = (
        [
            row["c"]
            for row in await connection.fetch(
                _MAY_COLUMN, table.columns, caller.role, table.oid, verb
            )
        ]
        if verb != "delete"
        else []
    )
    may_table = await connection.fetchval(
        "select has_table_privilege($1, $2::oid, $3)", caller.role, table.oid, verb
    )
    if not (columns or may_table):
        return None, []
    record = f"jsonb_populate_recordset(null::{table.sql}, $1::jsonb)"
    same = " and ".join(f"t.{_quoted(k)} = s.{_quoted(k)}" for k in table.key) or "false"
    rows = json.dumps(sample)
    first = _quoted(columns[0]) if columns else ""
    if verb == "select":
        return f"select 1 from {table.sql} as t join {record} as s on {same}", [rows]
    if verb == "update":
        return (
            f"update {table.sql} as t set {first} = t.{first} from {record} as s "
            f"where {same} returning 1",
            [rows],
        )
    if verb == "delete":
        return f"delete from {table.sql} as t using {record} as s where {same} returning 1", [rows]
    return _insert(table, columns, sample)


def _insert(
    table: _Table, columns: list[str], sample: list[dict[str, Any]]
) -> tuple[str, list[Any]]:
    """Copy rows under new ids; only columns that may be set, so triggers fill in the rest."""
    fresh = {k for k in table.key if k in columns and k == "id"}
    names = [c for c in columns if c not in fresh]
    listed = ", ".join(map(_quoted, [*fresh, *names]))
    chosen = ", ".join([*("gen_random_uuid()" for _ in fresh), *(f"s.{_quoted(c)}" for c in names)])
    return (
        f"insert into {table.sql} ({listed}) select {chosen} "
        f"from jsonb_populate_recordset(null::{table.sql}, $1::jsonb) as s",
        [json.dumps(sample)],
    )


async def _granted(connection: Connection, table: _Table, verb: str, caller: Caller) -> str:
    await become(connection, caller)
    if verb == "select":
        await connection.execute(f"select from {table.sql} limit 1")
    return "empty"


def _refusal(error: asyncpg.PostgresError) -> str:
    message = str(error.args[0]) if error.args else ""
    if error.sqlstate == "42501":
        if message.startswith("permission denied for"):
            return "no grant"
        return "policy" if "row-level security policy" in message else "guard"
    return f"rule {error.sqlstate}"
