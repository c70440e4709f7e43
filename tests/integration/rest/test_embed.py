"""Embedding by foreign key over HTTP."""

import pytest


async def get(http, path):
    response = await http.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def test_to_one_and_to_many_nest(http):
    rows = await get(
        http,
        "/clients?select=name,projects(name,tasks(title))&order=id&projects.order=id&id=eq.1"
        "&projects.tasks.order=title.desc&projects.tasks.limit=1",
    )
    assert rows == [
        {
            "name": "Acme",
            "projects": [
                {"name": "Alpha", "tasks": [{"title": "test"}]},
                {"name": "Beta", "tasks": [{"title": "ship"}]},
            ],
        }
    ]
    assert await get(http, "/tasks?id=eq.4&select=title,projects(name,clients(name))") == [
        {"title": "ship", "projects": {"name": "Beta", "clients": {"name": "Acme"}}}
    ]


async def test_a_missing_far_side_is_null_or_an_empty_list(http):
    rows = await get(http, "/clients?id=eq.3&select=id,projects(id),badges(label)")
    assert rows == [{"id": 3, "projects": [], "badges": None}]


async def test_a_unique_foreign_key_is_one_object_from_both_sides(http):
    assert await get(http, "/clients?id=eq.1&select=badges(label)") == [
        {"badges": {"label": "gold"}}
    ]
    assert await get(http, "/badges?select=clients(name)") == [{"clients": {"name": "Acme"}}]


async def test_filters_on_an_embed_leave_the_outer_rows(http):
    rows = await get(http, "/clients?select=id,projects(id)&projects.name=eq.Beta&order=id")
    assert rows == [
        {"id": 1, "projects": [{"id": 2}]},
        {"id": 2, "projects": []},
        {"id": 3, "projects": []},
    ]


async def test_inner_drops_outer_rows_and_counts_them_so(http):
    response = await http.get(
        "/clients?select=id,projects!inner(id)&projects.name=eq.Beta",
        headers={"Prefer": "count=exact"},
    )
    assert response.json() == [{"id": 1, "projects": [{"id": 2}]}]
    assert response.headers["content-range"] == "0-0/1"
    to_one = await get(http, "/projects?select=id,clients!inner(name)&clients.name=eq.Bolt")
    assert to_one == [{"id": 3, "clients": {"name": "Bolt"}}]


async def test_null_filters_find_rows_without_or_with_embeds(http):
    without = await http.get(
        "/clients?select=id,projects(id)&projects=is.null", headers={"Prefer": "count=exact"}
    )
    assert [row["id"] for row in without.json()] == [3]
    assert without.headers["content-range"] == "0-0/1"
    rows = await get(http, "/clients?select=id,projects()&projects=not.is.null&order=id")
    assert rows == [{"id": 1}, {"id": 2}]
    either = await get(http, "/clients?select=id,projects()&or=(projects.is.null,id.eq.1)&order=id")
    assert either == [{"id": 1}, {"id": 3}]


async def test_aliases_hints_and_columns_name_the_relationship(http):
    rows = await get(
        http,
        "/letters?select=from:people!letters_from_fkey(name),to:people!to_id(name),from_id(name)",
    )
    assert rows == [{"from": {"name": "Jo"}, "to": {"name": "Al"}, "from_id": {"name": "Jo"}}]


async def test_an_alias_is_the_name_in_paths(http):
    rows = await get(http, "/clients?select=id,p:projects(id)&p.order=id.desc&p.limit=1&id=eq.1")
    assert rows == [{"id": 1, "p": [{"id": 2}]}]


async def test_self_references_go_both_ways(http):
    rows = await get(http, "/tasks?id=eq.2&select=title,parent:parent_id(title)")
    assert rows == [{"title": "build", "parent": {"title": "plan"}}]
    children = await get(http, "/tasks?id=eq.1&select=title,children:tasks(title)")
    assert children == [{"title": "plan", "children": [{"title": "build"}, {"title": "test"}]}]


async def test_ambiguous_and_missing_relationships_are_explained(http):
    ambiguous = await http.get("/letters?select=people(name)")
    assert (ambiguous.status_code, ambiguous.json()["code"]) == (300, "PGRST201")
    missing = await http.get("/clients?select=letters(id)")
    assert (missing.status_code, missing.json()["code"]) == (400, "PGRST200")
    many = await http.get("/clients?select=people(name)")
    assert (many.status_code, many.json()["code"]) == (400, "PGRST127")


async def test_written_rows_may_embed(http):
    response = await http.patch(
        "/projects?id=eq.1&select=name,clients(name),tasks(title)&tasks.id=eq.1",
        json={"name": "Alpha"},
        headers={"Prefer": "return=representation"},
    )
    assert response.json() == [
        {"name": "Alpha", "clients": {"name": "Acme"}, "tasks": [{"title": "plan"}]}
    ]


async def test_function_results_may_embed(http):
    rows = await get(http, "/rpc/projects_of?client=2&select=name,clients(name)")
    assert rows == [{"name": "Gamma, Inc.", "clients": {"name": "Bolt"}}]


@pytest.mark.parametrize(
    "path",
    [
        "/open_tasks?select=id,projects(name)",
        "/projects?select=id,open_tasks(id)",
    ],
)
async def test_embedding_with_views_is_refused_by_name(http, path):
    refused = await http.get(path)
    assert (refused.status_code, refused.json()["code"]) == (400, "PGRST127")
    assert "view ('open_tasks')" in refused.json()["details"]


async def test_counting_an_embed_is_refused_as_an_aggregate(http):
    for path in ("/projects?select=id,tasks(count)", "/projects?select=id,tasks(count())"):
        refused = await http.get(path)
        assert (refused.status_code, refused.json()["code"]) == (400, "PGRST123")
