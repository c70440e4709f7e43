"""Write docs/reference/entity-relationships.md from the catalogue of a migrated database.

Run as `python tools/entity_relationships.py` to write it; a test compares it with the migrations.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "entity-relationships.md"
COLUMNS = """
    select c.relname as "table", obj_description(c.oid, 'pg_class') as about,
        a.attname as "column", format_type(a.atttypid, null) as type, a.attnotnull as required,
        col_description(c.oid, a.attnum) as column_about,
        coalesce((select true from pg_index i where i.indrelid = c.oid and i.indisprimary
            and a.attnum = any (i.indkey)), false) as pk,
        coalesce((select true from pg_constraint f where f.conrelid = c.oid and f.contype = 'f'
            and a.attnum = any (f.conkey) limit 1), false) as fk
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    and a.attnum > 0 and not a.attisdropped
    order by c.relname, a.attnum"""
KEYS = """
    select f.conname, t.relname as child, p.relname as parent, s.nspname as schema,
        (select array_agg(a.attname::text order by u.i)
         from unnest(f.conkey) with ordinality u (n, i)
         join pg_attribute a on a.attrelid = t.oid and a.attnum = u.n) as columns,
        (select bool_and(a.attnotnull) from pg_attribute a
         where a.attrelid = t.oid and a.attnum = any (f.conkey)) as required,
        exists (select from pg_index i where i.indrelid = t.oid and i.indisunique
            and i.indpred is null and i.indnatts = cardinality(f.conkey)
            and (i.indkey::smallint[]) @> f.conkey) as single
    from pg_constraint f join pg_class t on t.oid = f.conrelid
    join pg_class p on p.oid = f.confrelid join pg_namespace s on s.oid = p.relnamespace
    where f.contype = 'f' and t.relnamespace = 'public'::regnamespace
    order by t.relname, f.conname"""
HEAD = """# Entity relationships

Made from the catalogue by `python tools/entity_relationships.py`; do not edit. A line from a parent
to a child is a foreign key: `||` exactly one, `|o` none or one, `o{` any number. `auth_users` is
Supabase's table `auth.users`.

```mermaid
erDiagram
"""


async def render(url: str) -> str:
    """Return the page about the database of a URL."""
    connection = await asyncpg.connect(url)
    try:
        columns = await connection.fetch(COLUMNS)
        keys = await connection.fetch(KEYS)
    finally:
        await connection.close()
    return page(columns, keys)


def page(columns: list[asyncpg.Record], keys: list[asyncpg.Record]) -> str:
    """Return the page: a Mermaid picture, then one section per table. Pure."""
    lines = [HEAD.rstrip("\n")]
    for key in keys:
        parent = key["parent"] if key["schema"] == "public" else f"{key['schema']}_{key['parent']}"
        one = "||" if key["required"] else "|o"
        many = "o|" if key["single"] else "o{"
        lines.append(f'    {parent} {one}--{many} {key["child"]} : "{", ".join(key["columns"])}"')
    tables: dict[str, list[asyncpg.Record]] = {}
    for column in columns:
        tables.setdefault(column["table"], []).append(column)
    for table, members in tables.items():
        lines.append(f"    {table} {{")
        for member in members:
            marks = [mark for mark, on in (("PK", member["pk"]), ("FK", member["fk"])) if on]
            kind = member["type"].replace(" ", "_").replace("[]", "_array")
            lines.append(f"        {kind} {member['column']} {', '.join(marks)}".rstrip())
        lines.append("    }")
    lines.append("```")
    for table, members in tables.items():
        lines += ["", f"## {table}", "", members[0]["about"] or "", ""]
        lines += ["| column | type | null | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{m['column']}` | {m['type']} | {'no' if m['required'] else 'yes'} "
            f"| {(m['column_about'] or '').replace('|', chr(92) + '|')} |"
            for m in members
        ]
    return "\n".join(lines) + "\n"


async def from_migrations() -> str:
    """Return the page about the migrations, built in a scratch server."""
    from local_stack.postgres.migrate import apply_migrations  # noqa: PLC0415 - needs the path below
    from portalctl.database.scratch import scratch_database  # noqa: PLC0415 - needs the path below

    async with scratch_database() as url:
        await apply_migrations(url, ROOT / "supabase" / "migrations")
        return await render(url)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    TARGET.write_text(asyncio.run(from_migrations()), encoding="utf-8")
    print(TARGET.relative_to(ROOT))
