"""The schema cache follows the database."""

import asyncpg

from tests.support.waiting import eventually


async def test_new_tables_columns_and_functions_are_found_without_a_notice(http, rest):
    assert (await http.get("/fresh")).status_code == 404
    await rest.sql(
        "create table public.fresh (id int primary key); grant all on public.fresh to authenticated"
    )
    assert (await http.get("/fresh")).json() == []
    await rest.sql("alter table public.fresh add column extra text")
    made = await http.post(
        "/fresh", json={"id": 1, "extra": "x"}, headers={"Prefer": "return=representation"}
    )
    assert made.json() == [{"id": 1, "extra": "x"}]
    assert (await http.get("/rpc/fresh_one")).status_code == 404
    await rest.sql("create function public.fresh_one() returns int language sql as 'select 1'")
    assert (await http.get("/rpc/fresh_one")).json() == 1


async def test_dropped_names_are_refused_and_replaced_columns_work(http, rest):
    await rest.sql(
        "create table public.moving (id int primary key, a text); "
        "grant all on public.moving to authenticated; insert into public.moving values (1, 'x')"
    )
    assert (await http.get("/moving?select=a")).json() == [{"a": "x"}]
    await rest.sql("alter table public.moving rename column a to b")
    gone = await http.get("/moving?select=a")
    assert (gone.status_code, gone.json()["code"]) == (400, "42703")
    assert (await http.get("/moving?select=b")).json() == [{"b": "x"}]
    await rest.sql("alter table public.moving alter column b type int using 5")
    assert (await http.get("/moving")).json() == [{"id": 1, "b": 5}]
    await rest.sql("drop table public.moving")
    assert (await http.get("/moving")).json()["code"] == "PGRST205"


async def test_a_notice_reloads_relationships(http, rest):
    await rest.sql(
        "create table public.inner_side (id int primary key); "
        "create table public.outer_side (id int primary key, inner_id int); "
        "grant all on public.inner_side, public.outer_side to authenticated"
    )
    assert (await http.get("/outer_side?select=inner_side(id)")).status_code == 400
    await rest.sql(
        "alter table public.outer_side add foreign key (inner_id) references public.inner_side; "
        "notify pgrst, 'reload schema'"
    )

    async def embeds():
        return (await http.get("/outer_side?select=inner_side(id)")).status_code == 200

    await eventually(embeds)


async def test_a_changed_type_is_found_without_a_notice(http, rest):
    """A changed type does not cause a miss: only the event trigger can tell."""
    await rest.sql(
        "create table public.typed (id int primary key, v text); insert into public.typed "
        "values (1, '10'), (2, '9'); grant all on public.typed to authenticated"
    )
    assert (await http.get("/typed?v=gt.5&select=id")).json() == [{"id": 2}]
    await rest.sql("alter table public.typed alter column v type int using v::int")

    async def compares_numbers():
        response = await http.get("/typed?v=gt.5&select=id&order=id")
        return response.json() == [{"id": 1}, {"id": 2}]

    await eventually(compares_numbers)


async def test_a_dropped_key_takes_its_relationship_away_without_a_notice(http, rest):
    await rest.sql(
        "create table public.lost_inner (id int primary key); create table public.lost_outer "
        "(id int primary key, inner_id int constraint lost_fk references public.lost_inner); "
        "grant all on public.lost_inner, public.lost_outer to authenticated"
    )

    async def embeds(expected):
        response = await http.get("/lost_outer?select=lost_inner(id)")
        return response.status_code == expected

    await eventually(lambda: embeds(200))
    await rest.sql("alter table public.lost_outer drop constraint lost_fk")
    await eventually(lambda: embeds(400))


async def test_the_owner_of_the_project_sets_off_the_reload(rest):
    """Role postgres runs the migrations; the triggers work for it, and temporary tables do not."""
    heard: list[object] = []
    listener = await asyncpg.connect(rest.database.admin_url)
    owner = await asyncpg.connect(rest.database.url)
    try:
        await listener.add_listener("pgrst", lambda *notice: heard.append(notice[-1]))
        await owner.execute("create temp table passing (id int primary key); drop table passing")
        await owner.execute("notify pgrst, 'marker'")
        await eventually(lambda: bool(heard))
        assert heard == ["marker"]
        await owner.execute("create table public.watched (id int primary key)")
        await owner.execute("drop table public.watched")
        await eventually(lambda: len(heard) == 3)
        assert heard[1:] == ["reload schema"] * 2
    finally:
        await owner.close()
        await listener.close()


async def test_a_notice_alone_is_enough(http, rest):
    """Where the event triggers are off, as for a replica's session, the notice still works."""
    await rest.sql(
        "create table public.quiet (id int primary key, v text); insert into public.quiet "
        "values (1, '10'), (2, '9'); grant all on public.quiet to authenticated"
    )
    assert (await http.get("/quiet?v=gt.5&select=id")).json() == [{"id": 2}]
    await rest.sql(
        "set event_triggers = off; "
        "alter table public.quiet alter column v type int using v::int; notify pgrst"
    )

    async def compares_numbers():
        response = await http.get("/quiet?v=gt.5&select=id&order=id")
        return response.json() == [{"id": 1}, {"id": 2}]

    await eventually(compares_numbers)
