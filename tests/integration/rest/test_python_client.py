"""The unmodified Python client does what its documentation says."""

import pytest
from postgrest.exceptions import APIError


async def test_select_filters_and_modifiers(postgrest):
    rows = (
        await postgrest.table("projects")
        .select("id, name, clients(name)", count="exact")
        .in_("id", [1, 2, 3])
        .neq("name", "Beta")
        .or_('id.eq.1,name.eq."Gamma, Inc."')
        .order("id", desc=True)
        .limit(5)
        .execute()
    )
    assert rows.count == 2
    assert [row["id"] for row in rows.data] == [3, 1]
    contains = await postgrest.table("projects").select("id").contains("tags", ["a,b"]).execute()
    assert contains.data == [{"id": 3}]
    ranged = await postgrest.table("projects").select("id").order("id").range(1, 2).execute()
    assert [row["id"] for row in ranged.data] == [2, 3]
    any_of = await postgrest.table("projects").select("id").like_any_of("name", "A*,B*").execute()
    assert len(any_of.data) == 2
    spread = await postgrest.table("projects").select("id, ...clients(client:name)").execute()
    assert spread.data[2] == {"id": 3, "client": "Bolt"}
    head = await postgrest.table("projects").select("*", count="exact", head=True).execute()
    assert head.count == 3


async def test_single_and_maybe_single(postgrest):
    one = await postgrest.table("clients").select("*").eq("id", 1).single().execute()
    assert one.data == {"id": 1, "name": "Acme"}
    assert (
        await postgrest.table("clients").select("*").eq("id", 99).maybe_single().execute() is None
    )
    with pytest.raises(APIError) as caught:
        await postgrest.table("clients").select("*").eq("id", 99).single().execute()
    assert caught.value.code == "PGRST116"


async def test_writes(postgrest):
    table = postgrest.table("clients")
    made = await table.insert([{"id": 70, "name": "a"}, {"id": 71, "name": "b"}]).execute()
    assert len(made.data) == 2
    merged = await table.upsert({"id": 70, "name": "c"}, on_conflict="id").execute()
    assert merged.data == [{"id": 70, "name": "c"}]
    changed = await table.update({"name": "d"}, count="exact").eq("id", 70).execute()
    assert (changed.count, changed.data) == (1, [{"id": 70, "name": "d"}])
    stale = await table.update({"name": "e"}, count="exact").eq("id", 70).eq("name", "x").execute()
    assert (stale.count, stale.data) == (0, [])
    with pytest.raises(APIError) as caught:
        await table.delete().gte("id", 70).max_affected(1).execute()
    assert caught.value.code == "PGRST124"
    gone = await table.delete(count="exact").gte("id", 70).execute()
    assert gone.count == 2
    with pytest.raises(APIError) as duplicate:
        await table.insert({"id": 1, "name": "dup"}).execute()
    assert duplicate.value.code == "23505"


async def test_functions(postgrest):
    assert (await postgrest.rpc("add", {"a": 1, "b": 2}).execute()).data == 3
    assert (await postgrest.rpc("add", {"a": 1}, get=True).execute()).data == 11
    filtered = await postgrest.rpc("projects_of", {"client": 1}).select("id").eq("id", 2).execute()
    assert filtered.data == [{"id": 2}]


async def test_nulls_stripped_and_null_filters(postgrest):
    rows = await postgrest.table("projects").select("id,data").eq("id", 3).strip_nulls().execute()
    assert rows.data == [{"id": 3}]
    none = await postgrest.table("projects").select("id").is_("data", None).execute()
    assert none.data == [{"id": 3}]
