"""Filter operators on real columns, and how values are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.spec.realtime.harness import Project

TABLE = """
create table f (id int primary key, n int, t text, b bool, u uuid);
grant select on f to anon, authenticated;
alter publication supabase_realtime add table f;
"""
ROWS = """
insert into f values
    (1, 5, 'apple', true, '00000000-0000-4000-8000-00000000000a'),
    (2, 7, 'Banana', false, null),
    (3, null, 'b,c', null, null),
    (4, 9, null, true, null),
    (99, 99, 'end', null, null)
"""


def on(filter_text: str) -> dict[str, Any]:
    return {"event": "INSERT", "schema": "public", "table": "f", "filter": filter_text}


OPERATORS: dict[str, list[int]] = {
    "n=eq.5": [1],
    "n=not.eq.5": [2, 4],
    "n=neq.5": [2, 4],
    "n=not.neq.5": [1],
    "n=lt.7": [1],
    "n=not.lt.7": [2, 4],
    "n=lte.7": [1, 2],
    "n=gt.7": [4],
    "n=not.gt.7": [1, 2],
    "n=gte.7": [2, 4],
    "n=in.(5,9)": [1, 4],
    "n=not.in.(5,9)": [2],
    't=in.(apple,"b,c")': [1, 3],
    "t=like.%an%": [2],
    "t=not.like.%an%": [1, 3],
    "t=ilike.b%": [2, 3],
    "t=match.^[a-z]+$": [1],
    "t=imatch.^b": [2, 3],
    "t=not.imatch.^b": [1],
    't=eq."b,c"': [3],
    "b=is.true": [1, 4],
    "b=not.is.true": [2, 3],
    "n=is.null": [3],
    "n=not.is.null": [1, 2, 4],
    "b=is.unknown": [3],
    "n=isdistinct.5": [2, 3, 4],
    "n=not.isdistinct.5": [1],
    "u=eq.00000000-0000-4000-8000-00000000000A": [1],
    "n=gt.5,t=ilike.b%": [2],
    " n=gt.5 , b=is.true ": [4],
    "": [1, 2, 3, 4],
}


@pytest.mark.spec("RT-60")
@pytest.mark.spec("RT-61")
@pytest.mark.spec("RT-64")
async def test_operators_match_as_sql_would(project: Project) -> None:
    await project.db.execute(TABLE)
    clients = {condition: await project.listening(on(condition)) for condition in OPERATORS}
    witness = await project.listening(on("id=eq.99"))
    await project.db.execute(ROWS)
    await witness.change()  # delivered in commit order: whatever was due before has been sent
    for condition, client in clients.items():
        await client.fence()
        seen = [
            frame["payload"]["data"]["record"]["id"] for frame in client.pending("postgres_changes")
        ]
        assert [number for number in seen if number != 99] == OPERATORS[condition], condition


BAD_FILTERS = [
    (
        f"n=in.({','.join(str(n) for n in range(101))})",
        "too many values for `in` filter. Maximum 100",
    ),
    ("n=eq.abc", 'invalid input syntax for type integer: "abc"'),
    ("nope=eq.1", "invalid column for filter nope"),
    ("b=is.maybe", "invalid value for is filter: must be null, true, false, or unknown"),
    ("n=is.true", "is true filter requires a boolean column, got integer"),
    ("n=like.5", "operator like requires a text-compatible column type, got integer"),
    ("t=match.(", "invalid regular expression for match filter: "),
    ("n=in.1,2", "`in` filter value must be wrapped by parentheses"),
    ("n=foo.5", 'Error parsing `filter` params: ["foo", "5"]'),
    ("undefined", 'Error parsing `filter` params: ["undefined"]'),
    ("n=gt.4,", "filter must not contain empty segments (check for extra commas)"),
]


@pytest.mark.spec("RT-61")
@pytest.mark.spec("RT-62")
@pytest.mark.spec("RT-63")
async def test_bad_filters_are_explained(project: Project) -> None:
    await project.db.execute(TABLE)
    for condition, text in BAD_FILTERS:
        client = await project.joined("realtime:c", postgres_changes=[on(condition)])
        system = await client.system()
        assert system["status"] == "error", condition
        assert text in system["message"]


TYPES: list[tuple[str, str, str]] = [
    ("int2", "'-3'", "-3"),
    ("int8", "9007199254740993", "9007199254740993"),
    ("numeric", "1.50", "1.50"),
    ("numeric", "'NaN'", "null"),
    ("float8", "'Infinity'", "null"),
    ("float8", "0.1", "0.1"),
    ("bool", "true", "true"),
    ("text", "'ä\"\\'", '"ä\\"\\\\"'),
    ("uuid", f"'{'a' * 32}'", '"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"'),
    ("timestamptz", "'2024-01-02 03:04:05.678901+02'", '"2024-01-02T01:04:05.678901+00:00"'),
    ("timestamp", "'2024-01-02 03:04:05'", '"2024-01-02T03:04:05"'),
    ("timestamptz", "'infinity'", '"infinity"'),
    ("date", "'2024-01-02'", '"2024-01-02"'),
    ("time", "'03:04:05'", '"03:04:05"'),
    ("interval", "'1 day 2:03'", '"1 day 02:03:00"'),
    ("jsonb", "'{\"a\": [1, null]}'", '{"a": [1, null]}'),
    ("json", "'null'", "null"),
    ("bytea", "'\\x00ff'", '"00ff"'),
    ("oid", "1", '"1"'),
    ("inet", "'10.0.0.1'", '"10.0.0.1"'),
    ("int4range", "'[1,5)'", '"[1,5)"'),
    ("money", "12.5", '"$12.50"'),
    ("text[]", "array['a', null, 'b,c']", '["a", null, "b,c"]'),
    ("int4[]", "'{1,2}'", "[1, 2]"),
    ("mood", "'happy'", '"happy"'),
    ("pair", "row(1, 'x')", '{"a": 1, "b": "x"}'),
    ("posint", "3", "3"),
    ("char(4)", "'abcd'", '"a"'),
    ("bit(4)", "B'1010'", '"1"'),
]


@pytest.mark.spec("RT-71")
async def test_values_are_told_as_json(project: Project) -> None:
    columns = ", ".join(f"c{index} {kind}" for index, (kind, _, _) in enumerate(TYPES))
    values = ", ".join(f"{value}::{kind}" for kind, value, _ in TYPES)
    await project.db.execute(
        "create type mood as enum ('sad', 'happy'); create type pair as (a int, b text);"
        "create domain posint as int check (value > 0);"
        f"create table v (id int primary key, {columns}, missing text);"
        "grant select on v to anon; alter publication supabase_realtime add table v"
    )
    client = await project.listening({"event": "*", "schema": "public", "table": "v"})
    await project.db.execute(f"insert into v values (1, {values})")
    record = (await client.change())["data"]["record"]
    raw = next(text for text in client.raw if isinstance(text, str) and '"record"' in text)
    for index, (kind, _, expected) in enumerate(TYPES):
        assert record[f"c{index}"] == json.loads(expected), kind
    assert '"c1":9007199254740993,"c2":1.50,' in raw  # digits and scale survive
    assert record["missing"] is None


async def test_an_untouched_large_value_is_missing_or_filled_from_the_old_row(
    project: Project,
) -> None:
    await project.db.execute(
        "create table big (id int primary key, n int, t text);"
        "alter table big alter t set storage external;"
        "create table big_full (like big including all);"
        "alter table big_full replica identity full;"
        "grant select on big, big_full to anon;"
        "alter publication supabase_realtime add table big, big_full"
    )
    client = await project.listening({"event": "UPDATE", "schema": "public"})
    await project.db.execute(
        "insert into big values (1, 1, repeat('x', 9000));"
        "insert into big_full values (1, 1, repeat('x', 9000));"
        "update big set n = 2; update big_full set n = 2"
    )
    assert (await client.change())["data"]["record"] == {"id": 1, "n": 2}
    assert len((await client.change())["data"]["record"]["t"]) == 9000
