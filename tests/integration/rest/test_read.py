"""Reading tables and views over HTTP: operators, paths, order, windows, counts, media types."""

import pytest


async def ids(http, query):
    response = await http.get(f"/projects?select=id&order=id&{query}")
    assert response.status_code == 200, response.text
    return [row["id"] for row in response.json()]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("id=eq.1", [1]),
        ("id=neq.1", [2, 3]),
        ("id=not.eq.1", [2, 3]),
        ("id=gt.1", [2, 3]),
        ("id=gte.2", [2, 3]),
        ("id=lt.2", [1]),
        ("id=lte.2", [1, 2]),
        ("id=in.(1,3)", [1, 3]),
        ("id=in.()", []),
        ('name=in.("Gamma, Inc.",Beta)', [2, 3]),
        ("name=eq.Gamma, Inc.", [3]),
        ("name=like.*a", [1, 2]),
        ("name=like.Al%25", [1]),
        ("name=ilike.alpha", [1]),
        ("name=like(any).{Al*,Be*}", [1, 2]),
        ("name=like(all).{A*,*a}", [1]),
        ("id=eq(any).{1,3}", [1, 3]),
        ("id=gt(all).{1,2}", [3]),
        ("name=match.^[AB]", [1, 2]),
        ("name=imatch.^a", [1]),
        ("data=is.null", [3]),
        ("data=not.is.null", [1, 2]),
        ("data=is.not_null", [1, 2]),
        ("done=is.true", [1]),
        ("done=is.false", [2]),
        ("done=is.unknown", [3]),
        ("done=isdistinct.true", [2, 3]),
        ("tags=cs.{green}", [1, 2]),
        ("tags=cd.{green,blue}", [2]),
        ("tags=ov.{red,blue}", [1]),
        ('tags=cs.{"a,b"}', [3]),
        ('data=cs.{"kind":"y"}', [2]),
        ("during=sl.[10,20)", [1, 2]),
        ("during=sr.[6,10)", [3]),
        ("during=nxr.[1,10)", [1, 2]),
        ("during=nxl.[5,10)", [2, 3]),
        ("during=adj.[9,12)", [2]),
        ("during=ov.[4,6)", [1, 2]),
        ("name=fts.gamma", [3]),
        ("name=plfts(english).gamma inc", [3]),
        ("name=phfts.gamma inc", [3]),
        ("name=wfts(simple).alpha or beta", [1, 2]),
        ("name=not.fts(english).gamma", [1, 2]),
        ("data->>kind=eq.x", [1]),
        ("data->a->b->0=eq.3", [2]),
        ("data->a->b->>-1=eq.2", [1]),
        ("raw->>k=eq.2", [2]),
        ("budget=eq.20", [2]),
        ("started_at=gte.2026-01-15T00:00:00Z", [2]),
        ("code=eq.AA", [1]),
        ("or=(id.eq.1,id.eq.3)", [1, 3]),
        ("and=(id.gt.1,id.lt.3)", [2]),
        ("not.or=(id.eq.1,id.eq.3)", [2]),
        ('or=(and(id.eq.1,done.is.true),name.eq."Gamma, Inc.")', [1, 3]),
        ("or=(tags.cs.{red},data->>kind.eq.y)", [1, 2]),
        ("id=eq.1&id=eq.2", []),
        ("limit=1", [1]),
        ("offset=2", [3]),
        ("limit=1&offset=1", [2]),
        ("limit=0", []),
    ],
)
async def test_every_operator_selects_what_postgrest_selects(http, query, expected):
    assert await ids(http, query) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("id.desc", [3, 2, 1]),
        ("budget", [1, 2, 3]),
        ("budget.nullsfirst", [3, 1, 2]),
        ("budget.desc", [3, 2, 1]),
        ("budget.desc.nullslast", [2, 1, 3]),
        ("done.desc.nullslast,id", [1, 2, 3]),
        ("data->>kind.desc.nullslast", [2, 1, 3]),
        ("clients(name).desc,id.desc", [3, 2, 1]),
    ],
)
async def test_order_follows_terms_nulls_paths_and_relations(http, order, expected):
    response = await http.get(f"/projects?select=id,clients(name)&order={order}")
    assert [row["id"] for row in response.json()] == expected


async def test_columns_may_be_renamed_cast_and_taken_from_json(http):
    response = await http.get(
        "/projects?id=eq.1&select=number:id::text,kind:data->>kind,data->a->b,deep:data->a->b->0"
    )
    assert response.json() == [{"number": "1", "kind": "x", "b": [1, 2], "deep": 1}]


async def test_odd_names_work(http):
    response = await http.get(
        '/odd%20%22names%22?select="the id",Größe,"a.b"&"a.b"=eq.dot&order="the id"'
    )
    assert response.json() == [{"the id": 1, "Größe": "groß", "a.b": "dot"}]


async def test_views_are_read_like_tables(http):
    response = await http.get("/open_tasks?select=id&order=id")
    assert response.json() == [{"id": 2}, {"id": 3}]


async def test_content_range_tells_window_and_count(http):
    plain = await http.get("/projects?select=id&limit=2")
    assert (plain.status_code, plain.headers["content-range"]) == (200, "0-1/*")
    counted = await http.get("/projects?select=id&limit=2", headers={"Prefer": "count=exact"})
    assert (counted.status_code, counted.headers["content-range"]) == (206, "0-1/3")
    assert counted.headers["preference-applied"] == "count=exact"
    whole = await http.get("/projects?select=id", headers={"Prefer": "count=exact"})
    assert (whole.status_code, whole.headers["content-range"]) == (200, "0-2/3")
    empty = await http.get("/projects?id=eq.99", headers={"Prefer": "count=exact"})
    assert (empty.status_code, empty.headers["content-range"]) == (200, "*/0")


@pytest.mark.parametrize("kind", ["planned", "estimated"])
async def test_planned_and_estimated_counts_are_exact(http, kind):
    response = await http.get("/projects?select=id", headers={"Prefer": f"count={kind}"})
    assert response.headers["content-range"] == "0-2/3"


async def test_range_header_chooses_rows(http):
    response = await http.get("/projects?select=id&order=id", headers={"Range": "1-1"})
    assert response.json() == [{"id": 2}]
    assert response.headers["content-range"] == "1-1/*"


async def test_an_offset_behind_the_end_is_416_when_counted(http):
    response = await http.get("/projects?offset=9", headers={"Prefer": "count=exact"})
    assert response.status_code == 416
    assert response.json() == {
        "code": "PGRST103",
        "message": "Requested range not satisfiable",
        "details": "An offset of 9 was requested, but there are only 3 rows.",
        "hint": None,
    }
    assert response.headers["content-range"] == "*/3"


async def test_head_has_headers_and_no_body(http):
    response = await http.head("/projects?select=id", headers={"Prefer": "count=exact"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-range"] == "0-2/3"


async def test_one_object_is_given_for_exactly_one_row(http):
    accept = {"Accept": "application/vnd.pgrst.object+json"}
    one = await http.get("/clients?id=eq.1", headers=accept)
    assert one.json() == {"id": 1, "name": "Acme"}
    assert one.headers["content-type"] == "application/vnd.pgrst.object+json; charset=utf-8"
    for query, count in (("id=eq.99", 0), ("id=lt.3", 2)):
        none = await http.get(f"/clients?{query}", headers=accept)
        assert none.status_code == 406
        assert none.json() == {
            "code": "PGRST116",
            "message": "Cannot coerce the result to a single JSON object",
            "details": f"The result contains {count} rows",
            "hint": None,
        }


async def test_nulls_may_be_stripped(http):
    accept = {"Accept": "application/vnd.pgrst.array+json;nulls=stripped"}
    response = await http.get("/projects?id=eq.3&select=id,data", headers=accept)
    assert response.json() == [{"id": 3}]


async def test_csv_is_refused(http):
    response = await http.get("/clients", headers={"Accept": "text/csv"})
    assert (response.status_code, response.json()["code"]) == (406, "PGRST107")


async def test_timezone_preference_moves_timestamps(http):
    response = await http.get(
        "/projects?id=eq.1&select=started_at", headers={"Prefer": "timezone=Asia/Tokyo"}
    )
    assert response.json() == [{"started_at": "2026-01-01T19:00:00+09:00"}]
    assert response.headers["preference-applied"] == "timezone=Asia/Tokyo"
    plain = await http.get("/projects?id=eq.1&select=started_at")
    assert plain.json() == [{"started_at": "2026-01-01T10:00:00+00:00"}]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nope", 404, "PGRST205"),
        ("/clients?nope=eq.1", 400, "42703"),
        ("/clients?id=eq.x", 400, "22P02"),
        ("/clients?id=5", 400, "PGRST100"),
        ("/clients?select=id,", 400, "PGRST100"),
        ("/clients?select=count()", 400, "PGRST123"),
        ("/clients?select=...projects(id)", 400, "PGRST119"),
        ("/clients?name=match.(", 400, "2201B"),
        ("/projects?raw->a=eq.1", 404, "42883"),
        ("/clients?offset=-1", 400, "2201X"),
        ("/clients?name=eq.%00", 400, "22021"),
        ("/clients?name=fts(klingon).x", 400, "42704"),
        ("/", 404, "PGRST126"),
        ("/a/b", 404, "PGRST125"),
    ],
)
async def test_bad_reads_are_explained(http, path, status, code):
    response = await http.get(path)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert set(response.json()) == {"code", "message", "details", "hint"}
    assert response.headers["proxy-status"] == f"PostgREST; error={code}"


async def test_urls_that_are_too_long_are_414(http):
    response = await http.get("/clients?name=eq." + "x" * 50_000)
    assert response.status_code == 414


async def test_profile_headers_choose_the_schema(http):
    good = await http.get("/clients", headers={"Accept-Profile": "public"})
    assert good.headers["content-profile"] == "public"
    bad = await http.get("/users", headers={"Accept-Profile": "auth"})
    assert (bad.status_code, bad.json()["code"]) == (406, "PGRST106")


async def test_options_lists_methods(http):
    table = await http.options("/clients")
    assert table.headers["allow"] == "OPTIONS,GET,HEAD,POST,PATCH,DELETE"
    function = await http.options("/rpc/add")
    assert function.headers["allow"] == "OPTIONS,GET,HEAD,POST"


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/", {}, 404, "PGRST126"),
        ("/clients?select=*,...projects(name)", {}, 400, "PGRST119"),
        ("/clients?select=people(*)", {}, 400, "PGRST127"),
        ("/clients?select=...people(*)", {}, 400, "PGRST127"),
        ("/projects?select=id.sum()", {}, 400, "PGRST123"),
        ("/projects", {"Accept": "text/csv"}, 406, "PGRST107"),
        ("/projects", {"Accept": "application/vnd.pgrst.plan+json"}, 406, "PGRST107"),
        ("/projects?select=computed_name", {}, 400, "42703"),
    ],
)
async def test_what_is_not_built_is_refused_by_name(http, path, headers, status, code):
    refused = await http.get(path, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
