"""Calling functions over HTTP."""

import pytest

from tests.support.waiting import eventually


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/rpc/add?a=1", 11),
        ("/rpc/add?a=1&b=2", 3),
        ("/rpc/numbers?n=3", [1, 2, 3]),
        ("/rpc/pairs?n=2", [{"x": 1, "y": "A"}, {"x": 2, "y": "B"}]),
        ("/rpc/pairs?n=3&select=y&x=gte.2&order=x.desc", [{"y": "C"}, {"y": "B"}]),
        ("/rpc/pairs?n=9&limit=1&offset=4&select=x", [{"x": 5}]),
        ("/rpc/one_project?id=1&select=name", {"name": "Alpha"}),
        ("/rpc/projects_of?client=1&select=id&order=id.desc", [{"id": 2}, {"id": 1}]),
        ("/rpc/projects_of?client=1&select=id&name=like.B*", [{"id": 2}]),
        ("/rpc/over?a=1", "int"),
        ("/rpc/over?a=1&b=x", "both"),
        ("/rpc/total?n=1&n=2&n=3", 6),
    ],
)
async def test_get_passes_arguments_and_shapes_results(http, path, expected):
    response = await http.get(path)
    assert (response.status_code, response.json()) == (200, expected)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/rpc/add", {"a": 1, "b": 2}, 3),
        ("/rpc/add", {"a": "1"}, 11),
        ("/rpc/over", {"a": 1, "b": "x"}, "both"),
        ("/rpc/whole", {"any": ["thing"]}, {"any": ["thing"]}),
        ("/rpc/whole", {"any": None, "more": [1.50, None]}, {"any": None, "more": [1.5, None]}),
        ("/rpc/nothing_known", {}, None),
        ("/rpc/nothing_known", {"what": 'a"\u00e9\n'}, {"what": 'a"\u00e9\n', "when": None}),
        ("/rpc/add?limit=0", {"a": 1}, None),
        ("/rpc/whole", [1, 2], None),
        ("/rpc/total", {"n": [1, 2]}, 3),
        ("/rpc/projects_of?select=id&order=id", {"client": 1}, [{"id": 1}, {"id": 2}]),
    ],
)
async def test_post_passes_arguments_from_json(http, path, body, expected):
    response = await http.post(path, json=body)
    if isinstance(body, list):
        assert (response.status_code, response.json()["code"]) == (400, "PGRST102")
    else:
        assert (response.status_code, response.json()) == (200, expected)


async def test_nulls_of_a_value_may_be_stripped(http):
    accept = {"Accept": "application/vnd.pgrst.array+json;nulls=stripped"}
    response = await http.post("/rpc/whole", json={"a": None, "b": 1}, headers=accept)
    assert response.json() == {"b": 1}


async def test_void_is_204(http):
    response = await http.post("/rpc/nothing")
    assert (response.status_code, response.content) == (204, b"")


async def test_sets_are_counted_and_single_objects_checked(http):
    counted = await http.post(
        "/rpc/pairs?limit=1", json={"n": 3}, headers={"Prefer": "count=exact"}
    )
    assert (counted.status_code, counted.headers["content-range"]) == (206, "0-0/3")
    accept = {"Accept": "application/vnd.pgrst.object+json"}
    one = await http.get("/rpc/pairs?n=1", headers=accept)
    assert one.json() == {"x": 1, "y": "A"}
    two = await http.get("/rpc/pairs?n=2", headers=accept)
    assert (two.status_code, two.json()["code"]) == (406, "PGRST116")


async def test_a_volatile_function_writes_by_post_and_not_by_get(http, rest):
    get = await http.get("/rpc/write_client?new_id=50")
    assert (get.status_code, get.json()["code"]) == (405, "25006")
    post = await http.post("/rpc/write_client", json={"new_id": 50})
    assert (post.status_code, post.json()) == (200, 50)
    await rest.sql("delete from public.clients where id = 50")


async def test_head_runs_and_shows_nothing(http):
    response = await http.head("/rpc/numbers?n=2", headers={"Prefer": "count=exact"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-range"] == "0-1/2"


async def test_functions_that_do_not_fit_are_explained(http):
    missing = await http.post("/rpc/add", json={"x": 1})
    assert missing.status_code == 404
    assert missing.json() == {
        "code": "PGRST202",
        "message": "Could not find the function public.add(x) in the schema cache",
        "details": "Searched for the function public.add with parameter x or with a single unnamed "
        "json/jsonb parameter, but no matches were found in the schema cache.",
        "hint": "Perhaps you meant to call the function public.add(a, b)",
    }
    ambiguous = await http.get("/rpc/twice?a=1")
    assert (ambiguous.status_code, ambiguous.json()["code"]) == (300, "PGRST203")
    method = await http.patch("/rpc/add", json={})
    assert (method.status_code, method.json()["code"]) == (405, "PGRST101")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("P0001", 400),
        ("PT402", 402),
        ("23514", 400),
        ("42501", 403),
        ("40001", 500),
        ("22023", 400),
    ],
)
async def test_raised_errors_keep_code_message_detail_and_hint(http, state, status):
    response = await http.post("/rpc/fail", json={"state": state})
    assert response.status_code == status
    assert response.json() == {
        "code": state,
        "message": "said no",
        "details": "the detail",
        "hint": "the hint",
    }


async def test_a_function_may_set_status_and_headers(http):
    # Also where the planner may put the call next to what reads the settings.
    for path in ("/rpc/teapot", "/rpc/stable_teapot"):
        response = await http.post(path)
        assert (response.status_code, response.json()) == (418, "short and stout")
        assert response.headers["x-tea"] == "green"
    after = await http.get("/clients?limit=1")
    assert (after.status_code, "x-tea" in after.headers) == (200, False)


async def test_a_slow_statement_is_cancelled_at_the_roles_limit(rest):
    await rest.sql("alter role service_role set statement_timeout = '200ms'")
    try:
        await rest.sql("notify pgrst")
        async with rest.client("service_role") as http:
            for _ in range(50):
                response = await http.post("/rpc/who")
                if response.json()["timeout"] == "200ms":
                    break
            slow = await http.post("/rpc/slow", json={"seconds": 5})
        assert (slow.status_code, slow.json()["code"]) == (500, "57014")
    finally:
        await rest.sql("alter role service_role reset statement_timeout")


async def test_arrays_and_lists_of_calls(http, rest):
    await rest.sql(
        "create function public.listed(words text[]) returns text[] language sql stable "
        "as 'select words'; notify pgrst"
    )
    assert (await http.get("/rpc/listed", params={"words": "{a,b c}"})).json() == ["a", "b c"]
    assert (await http.post("/rpc/listed", json={"words": ["a", "b c"]})).json() == ["a", "b c"]
    refused = await http.post("/rpc/add", json=[{"a": 1}, {"a": 2}])
    assert (refused.status_code, refused.json()["code"]) == (400, "PGRST127")


async def test_settings_that_a_role_may_not_set_do_not_stop_it(rest):
    """Only what the role could set itself is set for it."""
    await rest.sql("alter role service_role set log_min_messages = 'error'; notify pgrst")
    try:
        await rest.sql("alter role service_role set work_mem = '5MB'; notify pgrst")
        await rest.sql(
            "create function public.memory() returns text language sql volatile "
            "as 'select current_setting(''work_mem'')'"
        )

        async def applied():
            async with rest.client("service_role") as http:
                response = await http.post("/rpc/memory")
                return response.status_code == 200 and response.json() == "5MB"

        await eventually(applied)
    finally:
        await rest.sql("alter role service_role reset log_min_messages")
        await rest.sql("alter role service_role reset work_mem")


async def test_a_search_path_of_the_role_goes_before_the_one_of_requests(rest):
    """As with PostgREST: what a role has of its own is set behind the request's."""
    await rest.sql(
        "create function public.path() returns text language sql volatile "
        "as 'select current_setting(''search_path'')'; "
        "alter role service_role set search_path = pg_catalog, public; notify pgrst"
    )

    async def applied():
        async with rest.client("service_role") as http:
            return (await http.post("/rpc/path")).json() == "pg_catalog, public"

    try:
        await eventually(applied)
    finally:
        await rest.sql("alter role service_role reset search_path")
