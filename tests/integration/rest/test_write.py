"""Inserts, upserts, updates and deletes over HTTP."""

import pytest

REPRESENTATION = {"Prefer": "return=representation"}


@pytest.fixture(autouse=True)
async def restored(rest):
    """Take away what a test wrote."""
    yield
    await rest.sql(
        "delete from public.tasks where id > 4 or title like 'new%'; "
        "delete from public.deferred; delete from public.clients where id > 3; "
        "update public.clients set name = 'Bolt' where id = 2"
    )


async def test_an_insert_says_nothing_unless_asked(http):
    response = await http.post("/clients", json={"id": 10, "name": "new"})
    assert (response.status_code, response.content) == (201, b"")
    assert response.headers["content-range"] == "*/*"
    minimal = await http.post(
        "/clients", json={"id": 11, "name": "new"}, headers={"Prefer": "return=minimal"}
    )
    assert (minimal.status_code, minimal.content) == (201, b"")
    assert minimal.headers["preference-applied"] == "return=minimal"


async def test_an_insert_returns_location_or_rows(http):
    located = await http.post(
        "/clients", json={"id": 10, "name": "n"}, headers={"Prefer": "return=headers-only"}
    )
    assert located.headers["location"] == "/clients?id=eq.10"
    rows = await http.post(
        "/clients?select=name", json=[{"id": 11, "name": "n"}], headers=REPRESENTATION
    )
    assert (rows.status_code, rows.json()) == (201, [{"name": "n"}])


async def test_many_rows_are_inserted_at_once(http):
    body = [{"id": 10, "name": "a"}, {"id": 11, "name": "b"}]
    response = await http.post(
        "/clients", json=body, headers={"Prefer": "return=representation,count=exact"}
    )
    assert response.json() == body
    assert response.headers["content-range"] == "*/2"
    empty = await http.post("/clients", json=[], headers=REPRESENTATION)
    assert (empty.status_code, empty.json()) == (201, [])


async def test_columns_limit_what_is_taken(http):
    response = await http.post(
        "/clients?columns=id,name",
        json=[{"id": 10, "name": "a", "junk": 1}, {"id": 11, "name": "b"}],
        headers=REPRESENTATION,
    )
    assert len(response.json()) == 2


async def test_missing_values_are_null_or_default(http):
    rows = [{"project_id": 1, "title": "new1", "priority": 9}, {"project_id": 1, "title": "new2"}]
    null = await http.post(
        "/tasks?columns=project_id,title,priority&select=priority&order=id",
        json=rows,
        headers=REPRESENTATION,
    )
    assert null.json() == [{"priority": 9}, {"priority": None}]
    rows = [{**row, "title": row["title"] + "b"} for row in rows]
    default = await http.post(
        "/tasks?columns=project_id,title,priority&select=priority",
        json=rows,
        headers={"Prefer": "return=representation,missing=default"},
    )
    assert default.json() == [{"priority": 9}, {"priority": 3}]
    assert default.headers["preference-applied"] == "missing=default, return=representation"


async def test_an_empty_object_takes_all_defaults(http):
    response = await http.post("/people", json={}, headers=REPRESENTATION)
    assert (response.status_code, response.json()["code"]) == (400, "23502")


async def test_upsert_merges_or_ignores(http):
    merge = {"Prefer": "resolution=merge-duplicates,return=representation"}
    made = await http.post("/clients", json={"id": 10, "name": "a"}, headers=merge)
    assert (made.status_code, made.json()) == (201, [{"id": 10, "name": "a"}])
    merged = await http.post("/clients", json={"id": 10, "name": "b"}, headers=merge)
    assert (merged.status_code, merged.json()) == (200, [{"id": 10, "name": "b"}])
    assert "resolution=merge-duplicates" in merged.headers["preference-applied"]
    mixed = await http.post(
        "/clients", json=[{"id": 10, "name": "c"}, {"id": 11, "name": "d"}], headers=merge
    )
    assert (mixed.status_code, len(mixed.json())) == (201, 2)
    ignore = {"Prefer": "resolution=ignore-duplicates,return=representation"}
    ignored = await http.post("/clients", json={"id": 10, "name": "x"}, headers=ignore)
    assert (ignored.status_code, ignored.json()) == (201, [])


async def test_upsert_may_name_another_unique_key(http):
    merge = {"Prefer": "resolution=merge-duplicates,return=representation"}
    body = {"project_id": 1, "title": "new", "priority": 1}
    path = "/tasks?on_conflict=project_id,title&select=priority"
    await http.post(path, json=body, headers=merge)
    again = await http.post(path, json={**body, "priority": 2}, headers=merge)
    assert (again.status_code, again.json()) == (200, [{"priority": 2}])


async def test_an_update_returns_count_and_rows(http):
    silent = await http.patch("/clients?id=eq.2", json={"name": "x"})
    assert (silent.status_code, silent.content) == (204, b"")
    assert silent.headers["content-range"] == "0-0/*"
    shown = await http.patch(
        "/clients?id=eq.2",
        json={"name": "y"},
        headers={"Prefer": "return=representation,count=exact"},
    )
    assert (shown.status_code, shown.json()) == (200, [{"id": 2, "name": "y"}])
    assert shown.headers["content-range"] == "0-0/1"
    none = await http.patch("/clients?id=eq.99", json={"name": "y"}, headers=REPRESENTATION)
    assert (none.status_code, none.json()) == (200, [])
    assert none.headers["content-range"] == "*/*"


async def test_an_update_with_nothing_changes_nothing(http):
    response = await http.patch("/clients?id=eq.2", json={}, headers=REPRESENTATION)
    assert (response.status_code, response.json()) == (200, [])


async def test_a_delete_returns_count_and_rows(http):
    await http.post("/clients", json={"id": 10, "name": "a"})
    response = await http.delete(
        "/clients?id=eq.10", headers={"Prefer": "return=representation,count=exact"}
    )
    assert (response.status_code, response.json()) == (200, [{"id": 10, "name": "a"}])
    assert response.headers["content-range"] == "*/1"
    silent = await http.delete("/clients?id=eq.10")
    assert (silent.status_code, silent.content) == (204, b"")


async def test_a_refused_single_object_writes_nothing(http):
    response = await http.patch(
        "/clients?id=lt.3",
        json={"name": "all"},
        headers={**REPRESENTATION, "Accept": "application/vnd.pgrst.object+json"},
    )
    assert (response.status_code, response.json()["code"]) == (406, "PGRST116")
    assert (await http.get("/clients?name=eq.all")).json() == []
    one = await http.patch(
        "/clients?id=eq.2",
        json={"name": "one"},
        headers={**REPRESENTATION, "Accept": "application/vnd.pgrst.object+json"},
    )
    assert one.json() == {"id": 2, "name": "one"}


async def test_max_affected_undoes_what_exceeds_it(http):
    strict = {"Prefer": "handling=strict,max-affected=1"}
    response = await http.patch("/clients?id=lt.3", json={"name": "all"}, headers=strict)
    assert (response.status_code, response.json()["code"]) == (400, "PGRST124")
    assert response.json()["details"] == "The query affects 2 rows"
    assert (await http.get("/clients?name=eq.all")).json() == []
    within = await http.patch("/clients?id=eq.2", json={"name": "ok"}, headers=strict)
    assert within.headers["preference-applied"] == "handling=strict, max-affected=1"


async def test_deferred_constraints_refuse_at_commit(http, rest):
    response = await http.post("/deferred", json={"id": 1, "note": "late"})
    assert (response.status_code, response.json()["code"]) == (400, "23514")
    accept = {"Accept": "application/vnd.pgrst.object+json", **REPRESENTATION}
    single = await http.post("/deferred", json={"id": 1, "note": "late"}, headers=accept)
    assert (single.status_code, single.json()["code"]) == (400, "23514")
    assert await rest.sql("select * from public.deferred") == []


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/clients", {"id": 1, "name": "dup"}, 409, "23505"),
        ("/tasks", {"project_id": 99, "title": "new"}, 409, "23503"),
        ("/tasks", {"project_id": 1, "title": ""}, 400, "23514"),
        ("/clients", {"id": 10}, 400, "23502"),
        ("/clients", {"id": "x", "name": "n"}, 400, "22P02"),
        ("/clients", {"nope": 1}, 400, "PGRST204"),
        ("/nope", {"id": 1}, 404, "PGRST205"),
        ("/secrets", {"id": 9, "owner": "al"}, 403, "42501"),
    ],
)
async def test_refused_writes_are_explained(http, path, body, status, code):
    response = await http.post(path, json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_uneven_rows_and_bad_json_are_refused(http):
    uneven = await http.post("/clients", json=[{"id": 1}, {"name": "x"}])
    assert uneven.json()["message"] == "All object keys must match"
    broken = await http.post("/clients", content=b"{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (400, "PGRST102")


async def test_bodies_that_are_too_large_are_413(http):
    response = await http.post("/clients", content=b" " * (11 * 1024 * 1024))
    assert response.status_code == 413


async def test_strict_handling_refuses_unknown_preferences(http):
    response = await http.get("/clients", headers={"Prefer": "handling=strict, foo=1"})
    assert (response.status_code, response.json()["code"]) == (400, "PGRST122")


async def test_a_rollback_is_not_allowed_by_default(http):
    response = await http.post(
        "/clients", json={"id": 10, "name": "kept"}, headers={"Prefer": "tx=rollback"}
    )
    assert "preference-applied" not in response.headers
    assert len((await http.get("/clients?id=eq.10")).json()) == 1


@pytest.mark.parametrize(("method", "verb"), [("PATCH", "UPDATE"), ("DELETE", "DELETE")])
async def test_changing_all_rows_at_once_is_refused(http, method, verb):
    refused = await http.request(method, "/deferred", json={"note": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "21000")
    assert refused.json()["message"] == f"{verb} requires a WHERE clause"
    filtered = await http.request(method, "/deferred?id=gt.0", json={"note": "x"})
    assert filtered.status_code == 204


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_limits_on_changes_are_refused(http, method):
    """PostgREST ignores them and changes every row that the filters find."""
    refused = await http.request(method, "/clients?id=gt.0&limit=1", json={"name": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "PGRST127")


async def test_upsert_follows_a_composite_key(http):
    merge = {"Prefer": "return=representation,resolution=merge-duplicates"}
    rows = [{"project_id": 1, "title": "new", "priority": 1}]
    query = "/tasks?on_conflict=project_id,title&select=project_id,title,priority"
    made = await http.post(query, json=rows, headers=merge)
    assert (made.status_code, made.json()) == (201, rows)
    rows[0]["priority"] = 2
    merged = await http.post(query, json=rows, headers=merge)
    assert (merged.status_code, merged.json()) == (200, rows)
    other = await http.post("/tasks?on_conflict=title,priority", json=rows, headers=merge)
    assert (other.status_code, other.json()["code"]) == (400, "42P10")
