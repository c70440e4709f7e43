"""Make the mutants: each is one small weakening (or breaking) of the security of a database."""

from __future__ import annotations

import re
from dataclasses import dataclass

import asyncpg

POLICIES = """
    select schemaname || '.' || tablename as "table", policyname, cmd, qual, with_check
    from pg_policies where schemaname = 'public' or schemaname || tablename = 'realtimemessages'
    order by 1, 3, 2"""
# Triggers that decide what may be written; audit and feed have tests of their own.
GUARDS = r"""
    select tgrelid::regclass::text as "table", tgname as name from pg_trigger
    join pg_proc on pg_proc.oid = tgfoid
    where not tgisinternal and tgrelid::regclass::text !~ '^(private|realtime)\.'
    and proname ~ '^(guard|keep|check|refuse_log|refuse_ledger|refuse_truncate|apply|append|fill)_'
    order by 1, 2"""
GRANTS = """
    select t.name as "table", v.verb, r.role from (
        select relname as name, oid from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r') as t,
        unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as v (verb),
        unnest(array['anon', 'authenticated', 'service_role']) as r (role)
    where not has_table_privilege(r.role, t.oid, v.verb) order by 1, 2, 3"""
TABLES = """
    select relname as "table" from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' and relrowsecurity order by 1"""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change that the tests must notice; `kind` and `what` name it, `sql` makes it."""

    kind: str
    table: str
    what: str
    sql: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.table}: {self.what}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def swaps(expression: str) -> list[tuple[str, str]]:
    """Return each expression that has one AND or OR turned into the other; named by place."""
    found = []
    for number, match in enumerate(re.finditer(r" (AND|OR) ", expression), start=1):
        other = " OR " if match[1] == "AND" else " AND "
        changed = expression[: match.start()] + other + expression[match.end() :]
        found.append((f"{match[1]}→{other.strip()} #{number}", changed))
    return found


def of_policy(row: asyncpg.Record) -> list[Mutant]:
    table, name = row["table"], row["policyname"]
    which = f"{quoted(name)} on {table}"
    made = [
        Mutant("drop policy", table, name, f"drop policy {which}"),
        Mutant("to public", table, name, f"alter policy {which} to public"),
    ]
    for clause, expression in (("using", row["qual"]), ("with check", row["with_check"])):
        if expression is None:
            continue
        variants = [("true", "true"), ("false", "false"), *swaps(expression)]
        made += [
            Mutant(f"{clause} {word}", table, name, f"alter policy {which} {clause} ({changed})")
            for word, changed in variants
        ]
    return made


async def all_mutants(connection: asyncpg.Connection) -> list[Mutant]:
    """Return every mutant of a database, in one order."""
    made = [m for row in await connection.fetch(POLICIES) for m in of_policy(row)]
    for row in await connection.fetch(TABLES):
        sql = f"alter table public.{row['table']} disable row level security"
        made.append(Mutant("disable rls", f"public.{row['table']}", "whole table", sql))
    for row in await connection.fetch(GUARDS):
        sql = f"drop trigger {quoted(row['name'])} on {row['table']}"
        made.append(Mutant("drop guard", f"public.{row['table']}", row["name"], sql))
    for row in await connection.fetch(GRANTS):
        what = f"{row['verb']} to {row['role']}"
        sql = f"grant {row['verb']} on public.{row['table']} to {row['role']}"
        made.append(Mutant("extra grant", f"public.{row['table']}", what, sql))
    return made
