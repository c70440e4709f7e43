"""The feed's deferred events: whatever a transaction does to itself, each change is logged once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.feed.oracle import Connection, faults_of_feed
from tests.feed.writers import add_customers
from tests.support.cluster import Database

COUNTER = "portal_sync.changes"
IN_MID_STATEMENT = """
    create function public.flush_now() returns trigger language plpgsql as $$
    begin set constraints all immediate; set constraints all deferred; return new; end $$;
    create trigger n_flush before update on jobs for each row
    when (old.title is distinct from new.title) execute function public.flush_now()"""
STORIES: dict[str, list[str]] = {
    "a reset of all settings": [
        "insert into messages (customer_id, body) values ($1, 'a'), ($1, 'b'), ($2, 'c')",
        "reset all",
        "update jobs set title = 'x' where customer_id = $1",
        "reset all",
        "delete from jobs where customer_id = $2",
    ],
    "a savepoint that is rolled back after a reset": [
        "insert into messages (customer_id, body) values ($1, 'a')",
        "savepoint s",
        "reset all",
        "insert into messages (customer_id, body) values ($1, 'lost'), ($2, 'lost')",
        "rollback to savepoint s",
        "insert into messages (customer_id, body) values ($2, 'b')",
    ],
    "a counter that somebody left behind": [
        "select set_config('portal_sync.changes', '1 5 7', false)",
        "insert into messages (customer_id, body) values ($1, 'a'), ($2, 'b')",
    ],
    "a count as the version before wrote it": [
        "insert into messages (customer_id, body) values ($1, 'a')",
        "select set_config('portal_sync.changes', pg_current_xact_id() || ' 1 ', true)",
    ],
    "one change from another time zone": [
        "set local timezone = 'Asia/Tokyo'",
        "update jobs set scheduled_start = now() where id = "
        "(select id from jobs where customer_id = $1 limit 1)",
    ],
    "several changes from another time zone": [
        "set local timezone = 'Asia/Tokyo'",
        "update jobs set scheduled_start = now() where customer_id in ($1, $2)",
    ],
    "one change after another was flushed": [
        "insert into messages (customer_id, body) values ($1, 'a')",
        "set constraints all immediate; set constraints all deferred",
        "insert into messages (customer_id, body) values ($1, 'b')",
    ],
    "constraints made immediate in the middle of a statement": [
        IN_MID_STATEMENT,
        "update jobs set title = title || '1' where customer_id in ($1, $2)",
        "update jobs set title = title || '2', customer_id = $2 where customer_id = $1",
    ],
    "rows changed by a trigger of another portal table": [
        "create function public.tell() returns trigger language plpgsql as $$ begin "
        "insert into messages (customer_id, body) values (new.customer_id, new.title); "
        "return new; end $$; create trigger n_tell before update on jobs "
        "for each row execute function public.tell()",
        "update jobs set title = title || '!' where customer_id in ($1, $2)",
        "update jobs set deleted_at = now() where customer_id = $1",
    ],
    "a deferred trigger that writes again": [
        "create function public.answer() returns trigger language plpgsql as $$ begin "
        "if new.body <> 'answer' then insert into messages (customer_id, body) "
        "values (new.customer_id, 'answer'), (new.customer_id, 'answer'); end if; "
        "return null; end $$; create constraint trigger answer after insert on messages "
        "deferrable initially deferred for each row execute function public.answer()",
        "insert into messages (customer_id, body) values ($1, 'a'), ($2, 'b')",
    ],
}


@pytest.fixture
async def people(empty_database: Database) -> AsyncIterator[tuple[Connection, list[str]]]:
    connection = await asyncpg.connect(empty_database.url)
    await add_customers(connection, 2)
    ids = await connection.fetch("select id::text from customers order by id")
    await connection.execute(
        "insert into jobs (customer_id, title) select c.id, 'job' from customers c, "
        "generate_series(1, 3)"
    )
    yield connection, [str(one["id"]) for one in ids]
    await connection.close()


@pytest.mark.parametrize("story", STORIES)
async def test_every_change_is_logged_once_after(
    people: tuple[Connection, list[str]], story: str
) -> None:
    db, ids = people
    before = await db.fetchval("select count(*) from sync_changes")
    await db.execute("begin")
    for sql in STORIES[story]:
        await db.execute(sql.replace("$1", f"'{ids[0]}'").replace("$2", f"'{ids[1]}'"))
    await db.execute("commit")
    assert await faults_of_feed(db) == []
    assert await db.fetchval("select count(*) from sync_changes") > before
    repeated = await db.fetch(
        "select scope, row_id, op, version from sync_changes group by 1, 2, 3, 4 "
        "having count(*) > 1"
    )
    assert repeated == []
    assert await db.fetchval("select coalesce(current_setting($1, true), '')", COUNTER) in {
        "",
        "1 5 7",
    }


async def test_a_written_table_may_be_altered_once_its_events_have_fired(
    people: tuple[Connection, list[str]],
) -> None:
    db, _ids = people
    with pytest.raises(asyncpg.ObjectInUseError, match="pending trigger events"):
        await db.execute(
            "update jobs set title = 'x'; alter table jobs alter column title set default 'x'"
        )
    await db.execute(
        "begin; update jobs set title = 'x'; set constraints all immediate; "
        "alter table jobs alter column title set default 'x'; commit"
    )
    assert await faults_of_feed(db) == []


SEND = """
    create or replace function realtime.send(
        payload jsonb, event text, topic text, private boolean default true)
    returns void language plpgsql as $$ begin {body} end $$"""
SENDS = (
    "insert into realtime.messages (payload, event, topic, private, extension) "
    "values (payload || '{\"by\": \"send\"}', event, topic, private, 'broadcast');"
)


@pytest.mark.parametrize("customers", [1, 2], ids=["one change", "several changes"])
@pytest.mark.parametrize("sends", [True, False], ids=["send works", "send fails, too"])
async def test_what_the_table_of_messages_refuses_is_rung_by_realtime_send(
    empty_database: Database,
    people: tuple[Connection, list[str]],
    sends: bool,
    customers: int,
) -> None:
    """Where that fails as well the ring is lost, and the write is not."""
    db, ids = people
    admin = await asyncpg.connect(empty_database.admin_url)
    await admin.execute(
        "delete from realtime.messages; alter table realtime.messages "
        "add constraint no_direct_insert check (payload ? 'by') not valid;"
        + SEND.format(body=SENDS if sends else "raise exception 'broken';")
    )
    await admin.close()
    await db.execute(
        "insert into messages (customer_id, body) select id, 'a' from unnest($1::uuid[]) as id",
        ids[:customers],
    )
    assert await faults_of_feed(db) == []
    rung = await db.fetch(
        "select topic, payload from realtime.messages where event = 'sync' order by topic"
    )
    heads = {r["scope"]: r["n"] for r in await db.fetch("select scope, n from sync_scopes")}
    expected = {f"customer:{one}": heads[f"customer:{one}"] for one in ids[:customers]}
    assert {r["topic"]: json.loads(r["payload"])["n"] for r in rung} == (expected if sends else {})
