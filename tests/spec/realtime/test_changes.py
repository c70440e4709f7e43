"""Changes of tables: who gets what, in which form."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import pytest

from local_stack.realtime import RealtimeConfig
from tests.spec.realtime.harness import A, B, Project, RawClient
from tests.support.waiting import eventually

SCHEMA = """
create table todos (id int primary key, owner uuid, title text, qty int, note text);
alter table todos enable row level security;
create policy own on todos for select to authenticated using ((select auth.uid()) = owner);
create table items (id int primary key, name text, qty int);
create table items_full (id int primary key, name text, qty int);
alter table items_full replica identity full;
create table todos_full (like todos including all);
alter table todos_full enable row level security;
alter table todos_full replica identity full;
create policy own on todos_full for select to authenticated using ((select auth.uid()) = owner);
create table keyless (a int);
create table closed (id int primary key, v text);
create table partly (id int primary key, pub text, secret text);
create table unpublished (id int primary key);
grant all on todos, items, items_full, todos_full, keyless, unpublished
    to anon, authenticated, service_role;
revoke all on closed, partly from anon, authenticated;
grant select (id, pub) on partly to authenticated;
alter publication supabase_realtime
    add table todos, items, items_full, todos_full, keyless, closed, partly;
"""


@pytest.fixture
async def tables(project: Project) -> Project:
    await project.db.execute(SCHEMA)
    return project


def on(table: str, event: str = "*", **more: Any) -> dict[str, Any]:
    return {"event": event, "schema": "public", "table": table, **more}


async def data(client: RawClient) -> Any:
    return (await client.change())["data"]


@pytest.mark.spec("RT-40")
async def test_a_published_table_is_announced_once_by_its_sub_topic(tables: Project) -> None:
    client = await tables.joined("realtime:changes", postgres_changes=[on("items")])
    assert await client.system() == {
        "extension": "postgres_changes",
        "status": "ok",
        "message": "Subscribed to PostgreSQL",
        "channel": "changes",
    }
    await tables.fence(client)
    assert client.frames == []


@pytest.mark.spec("RT-41")
@pytest.mark.spec("RT-42")
async def test_one_bad_binding_disables_all_but_not_the_channel(tables: Project) -> None:
    client = await tables.joined(
        "realtime:c",
        postgres_changes=[on("items"), on("unpublished")],
        broadcast={"ack": True},
    )
    system = await client.system()
    assert system["status"] == "error"
    assert system["message"] == (
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled "
        "for the given connect parameters: [event: *, schema: public, table: unpublished, "
        "filters: [], select: nil]"
    )
    good = await tables.listening(on("items"))
    await tables.db.execute("insert into items values (1)")
    await good.change()
    assert (await client.call("realtime:c", "broadcast", {"event": "e"}))["status"] == "ok"
    await tables.fence(client)
    assert client.frames == []


@pytest.mark.spec("RT-43")
@pytest.mark.spec("RT-44")
@pytest.mark.spec("RT-45")
async def test_the_three_events_have_their_keys(tables: Project) -> None:
    client = await tables.listening(on("items"))
    await tables.db.execute("insert into items values (1, 'a', 5)")
    inserted = await data(client)
    stamp = inserted.pop("commit_timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert inserted == {
        "schema": "public",
        "table": "items",
        "type": "INSERT",
        "columns": [
            {"name": "id", "type": "int4"},
            {"name": "name", "type": "text"},
            {"name": "qty", "type": "int4"},
        ],
        "errors": None,
        "record": {"id": 1, "name": "a", "qty": 5},
    }
    await tables.db.execute("update items set qty = null")
    updated = await data(client)
    assert (updated["record"], updated["old_record"]) == (
        {"id": 1, "name": "a", "qty": None},
        {"id": 1},
    )
    await tables.db.execute("delete from items")
    deleted = await data(client)
    assert "record" not in deleted
    assert deleted["old_record"] == {"id": 1}


@pytest.mark.spec("RT-46")
@pytest.mark.spec("RT-47")
async def test_old_record_is_the_key_or_the_full_row(tables: Project) -> None:
    default = await tables.listening(on("items"))
    full = await tables.listening(on("items_full"))
    await tables.db.execute("insert into items values (1); insert into items_full values (1, 'x')")
    await data(default)
    await data(full)
    await tables.db.execute("update items set id = 2; update items_full set name = 'y'")
    assert (await data(default))["old_record"] == {"id": 1}
    assert (await data(full))["old_record"] == {"id": 1, "name": "x", "qty": None}


@pytest.mark.spec("RT-48")
@pytest.mark.spec("RT-49")
async def test_a_delete_reaches_everybody_with_the_key_only_under_rls(tables: Project) -> None:
    stranger = await tables.listening(on("todos_full"), token=tables.token(B))
    open_table = await tables.listening(on("items_full"))
    await tables.db.execute(
        f"insert into todos_full values (1, '{A}', 't'); delete from todos_full;"
        "insert into items_full values (1, 'x'); delete from items_full"
    )
    deleted = await data(stranger)
    assert (deleted["type"], deleted["old_record"]) == ("DELETE", {"id": 1})
    await data(open_table)
    assert (await data(open_table))["old_record"] == {"id": 1, "name": "x", "qty": None}


@pytest.mark.spec("RT-50")
async def test_rows_are_delivered_to_those_who_may_see_them(tables: Project) -> None:
    owner = await tables.listening(on("todos"), token=tables.token(A))
    other = await tables.listening(on("todos"), token=tables.token(B))
    service = await tables.listening(on("todos"), token=tables.keys.service_role)
    await tables.db.execute(f"insert into todos values (1, '{A}', 'for A')")
    await tables.db.execute(f"insert into todos values (2, '{B}', 'for B')")
    assert (await data(owner))["record"]["title"] == "for A"
    assert (await data(other))["record"]["title"] == "for B"
    assert [(await data(service))["record"]["id"] for _ in range(2)] == [1, 2]
    await tables.fence(owner, other)
    assert owner.pending("postgres_changes") == other.pending("postgres_changes") == []


async def test_a_policy_that_raises_hides_the_row_from_its_subscriber_only(
    tables: Project,
) -> None:
    """Better than the real server, where nobody would get the change."""
    broken = await tables.listening(on("todos"), token=tables.token("not-a-uuid"))
    owner = await tables.listening(on("todos"), token=tables.token(A))
    await tables.db.execute(f"insert into todos values (1, '{A}', 'for A')")
    assert (await data(owner))["record"]["id"] == 1
    await tables.fence(broken)
    assert broken.frames == []


@pytest.mark.spec("RT-51")
async def test_a_row_gone_before_it_is_looked_up_is_only_deleted(tables: Project) -> None:
    service = await tables.listening(on("todos"), token=tables.keys.service_role)
    await tables.db.execute(f"insert into todos values (1, '{A}'); delete from todos")
    assert (await data(service))["type"] == "DELETE"
    await tables.fence(service)
    assert service.frames == []


@pytest.mark.spec("RT-52")
@pytest.mark.spec("RT-53")
async def test_grants_decide_about_columns_and_keys(tables: Project) -> None:
    partly = await tables.listening(on("partly"), token=tables.token())
    closed = await tables.listening(on("closed"), token=tables.token())
    await tables.db.execute(
        "insert into partly values (1, 'p', 's'); insert into closed values (1)"
    )
    change = await data(partly)
    assert change["record"] == {"id": 1, "pub": "p"}
    assert [column["name"] for column in change["columns"]] == ["id", "pub"]
    change = await data(closed)
    assert change["errors"] == ["Error 401: Unauthorized"]
    assert (change["record"], change["columns"]) == ({}, [])
    assert change["commit_timestamp"] is None


@pytest.mark.spec("RT-54")
async def test_a_table_without_key_gives_error_400(tables: Project) -> None:
    client = await tables.listening(on("keyless"))
    await tables.db.execute("insert into keyless values (1)")
    change = await data(client)
    assert change["errors"] == ["Error 400: Bad Request, no primary key"]
    assert (change["record"], change["columns"]) == ({}, [])


@pytest.mark.spec("RT-55")
async def test_a_huge_change_keeps_its_small_values_only(tables: Project) -> None:
    client = await tables.listening(on("items"))
    await tables.db.execute("insert into items values (1, repeat('x', 1048600))")
    change = await data(client)
    assert change["errors"] == ["Error 413: Payload Too Large"]
    assert change["record"] == {"id": 1}


@pytest.mark.spec("RT-56")
async def test_a_binding_gets_its_action_only(tables: Project) -> None:
    client = await tables.listening(on("items", "insert"))
    await tables.db.execute(
        "insert into items values (1); update items set qty = 1; delete from items;"
        "insert into items values (2)"
    )
    assert [(await data(client))["record"]["id"] for _ in range(2)] == [1, 2]
    await tables.fence(client)
    assert client.frames == []


@pytest.mark.spec("RT-57")
@pytest.mark.spec("RT-58")
async def test_wildcards_reach_every_published_table(tables: Project) -> None:
    schema = await tables.listening({"event": "*", "schema": "public"})
    everything = await tables.listening({"event": "*", "schema": "*", "table": "*"})
    await tables.db.execute("insert into items values (1); insert into items_full values (1)")
    for client in (schema, everything):
        assert [(await data(client))["table"] for _ in range(2)] == ["items", "items_full"]
    refused = await tables.joined("realtime:w", postgres_changes=[on("*", select=["id"])])
    assert (await refused.system())["message"].startswith("Column selection is not supported")


@pytest.mark.spec("RT-59")
async def test_select_yields_the_key_and_the_named_columns(tables: Project) -> None:
    client = await tables.listening(on("items_full", select=["qty"]))
    await tables.db.execute("insert into items_full values (1, 'n', 2)")
    assert (await data(client))["record"] == {"id": 1, "qty": 2}
    await tables.db.execute("delete from items_full")
    change = await data(client)
    assert change["old_record"] == {"id": 1, "qty": 2}
    assert [column["name"] for column in change["columns"]] == ["id", "qty"]


@pytest.mark.spec("RT-65")
async def test_an_update_is_told_when_the_new_row_matches(tables: Project) -> None:
    client = await tables.listening(on("items", filter="qty=eq.1"))
    await tables.db.execute(
        "insert into items values (1, 'a', 1), (2, 'b', 2);"
        "update items set qty = 3 where id = 1; update items set qty = 1 where id = 2"
    )
    assert [((c := await data(client))["type"], c["record"]["id"]) for _ in range(2)] == [
        ("INSERT", 1),
        ("UPDATE", 2),
    ]
    await tables.fence(client)
    assert client.frames == []


@pytest.mark.spec("RT-66")
async def test_a_filtered_delete_needs_the_column_in_the_identity(tables: Project) -> None:
    by_key = await tables.listening(on("items", "DELETE", filter="id=eq.1"))
    by_other = await tables.listening(on("items", "DELETE", filter="qty=eq.1"))
    full = await tables.listening(on("items_full", "DELETE", filter="qty=eq.1"))
    await tables.db.execute(
        "insert into items values (1, 'a', 1), (2, 'b', 1); delete from items;"
        "insert into items_full values (1, 'a', 1), (2, 'b', 2); delete from items_full"
    )
    assert (await data(full))["old_record"]["id"] == 1
    assert (await data(by_key))["old_record"] == {"id": 1}
    await tables.fence(by_key, by_other, full)
    for client in (by_key, by_other, full):
        assert client.pending("postgres_changes") == []


@pytest.mark.spec("RT-67")
async def test_two_matching_bindings_share_one_frame(tables: Project) -> None:
    client = await tables.connect()
    reply = await client.join("realtime:c", postgres_changes=[on("items"), on("items", "INSERT")])
    ids = {binding["id"] for binding in reply["response"]["postgres_changes"]}
    await client.system()
    await tables.db.execute("insert into items values (1)")
    assert set((await client.change())["ids"]) == ids
    await tables.fence(client)
    assert client.frames == []


@pytest.mark.spec("RT-68")
@pytest.mark.spec("RT-69")
@pytest.mark.spec("RT-70")
async def test_transactions_arrive_whole_in_order_or_not_at_all(tables: Project) -> None:
    client = await tables.listening(on("items"))
    transaction = tables.db.transaction()
    await transaction.start()
    await tables.db.execute("insert into items values (999)")
    await transaction.rollback()
    await tables.db.execute("insert into items select generate_series(1, 250)")
    await tables.db.execute("truncate items")
    await tables.db.execute("insert into items values (1000)")
    changes = [await data(client) for _ in range(251)]
    assert [c["record"]["id"] for c in changes] == [*range(1, 251), 1000]
    assert len({c["commit_timestamp"] for c in changes[:250]}) == 1
    await tables.fence(client)
    assert client.frames == []


async def test_an_idle_stream_makes_postgresql_look_at_its_log_again(
    tables: Project, bare_database: Any
) -> None:
    """A commit that woke no walsender is found at the next look, not at the next commit."""
    admin = await asyncpg.connect(bare_database.admin_url)

    async def heard_at() -> Any:
        return await admin.fetchval(
            "select reply_time from pg_stat_replication where pid = "
            "(select active_pid from pg_replication_slots where database = current_database())"
        )

    try:
        for _ in range(3):
            before = await heard_at()

            async def has_spoken(before: Any = before) -> bool:
                return await heard_at() != before

            await eventually(has_spoken, 2)
    finally:
        await admin.close()


@pytest.mark.spec("RT-72")
@pytest.mark.parametrize("project", [RealtimeConfig(publication_check_s=0.1)], indirect=True)
async def test_a_table_added_to_the_publication_is_picked_up(tables: Project) -> None:
    client = await tables.listening({"event": "*", "schema": "public"})
    await tables.db.execute("alter publication supabase_realtime add table unpublished")
    assert (await client.system())["message"] == "Subscribed to PostgreSQL"
    await tables.db.execute("insert into unpublished values (1)")
    assert (await data(client))["table"] == "unpublished"


@pytest.mark.spec("RT-73")
async def test_a_join_without_config_gets_bare_changes(tables: Project) -> None:
    client = await tables.connect()
    reply = await client.join("realtime:public:items", legacy=True)
    assert reply["status"] == "ok"
    await client.system()
    await tables.db.execute("insert into items values (1); delete from items")
    assert (await client.event("INSERT"))["payload"]["record"]["id"] == 1
    assert (await client.event("DELETE"))["payload"]["old_record"] == {"id": 1}


@pytest.mark.spec("RT-74")
async def test_subscription_rows_live_as_long_as_the_join(tables: Project) -> None:
    client = await tables.listening({"event": "*", "schema": "public"})
    count = "select count(*)::int from realtime.subscription"
    published = (
        "select count(*)::int from pg_publication_tables "
        "where pubname = 'supabase_realtime' and schemaname = 'public'"
    )
    assert await tables.db.fetchval(count) == await tables.db.fetchval(published)
    await client.call("realtime:changes", "phx_leave", {}, join_ref="1")

    async def gone() -> bool:
        return bool(await tables.db.fetchval(count) == 0)

    is_gone: bool = await eventually(gone)
    assert is_gone
