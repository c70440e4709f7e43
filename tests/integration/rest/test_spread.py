"""Columns of a to-one relation in the row itself (`...relation(columns)`) over HTTP."""

import json

import pytest

_AL = "00000000-0000-4000-8000-000000000002"


async def get(http, path, **headers):
    response = await http.get(path, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


async def test_columns_stand_in_the_row_and_are_null_without_a_related_row(http):
    """One-to-one and many-to-one; renamed, cast and out of JSON as elsewhere."""
    rows = await get(http, "/clients?select=*,...badges(badge:label,client_id::text)&order=id")
    assert rows == [
        {"id": 1, "name": "Acme", "badge": "gold", "client_id": "1"},
        {"id": 2, "name": "Bolt", "badge": None, "client_id": None},
        {"id": 3, "name": "Ghost", "badge": None, "client_id": None},
    ]
    assert await get(http, "/badges?select=label,...clients(*)") == [
        {"label": "gold", "id": 1, "name": "Acme"}
    ]
    tasks = await get(
        http, "/tasks?select=title,...projects(data->a->b->0,kind:data->>kind)&id=eq.4"
    )
    assert tasks == [{"title": "ship", "b": 3, "kind": "y"}]


async def test_the_relation_may_be_named_by_hint_constraint_or_column(http):
    """Two relationships between the same tables, both spread at once."""
    columns = "...people!letters_from_fkey(from:name),...to_id(to:name),...letters_to_fkey(id)"
    assert await get(http, f"/letters?select={columns}") == [{"from": "Jo", "to": "Al", "id": _AL}]
    parent = await get(http, "/tasks?select=title,...parent_id(parent:title)&id=eq.2")
    assert parent == [{"title": "build", "parent": "plan"}]


async def test_spreads_and_embeds_stand_in_each_other(http):
    """To any depth; what stands in a spread stands in the row."""
    nested = "title,...projects(project:name,...clients(client:name))"
    assert await get(http, f"/tasks?select={nested}&id=eq.4") == [
        {"title": "ship", "project": "Beta", "client": "Acme"}
    ]
    in_embed = "name,tasks(title,...projects(project:name))"
    assert await get(http, f"/projects?select={in_embed}&id=eq.2") == [
        {"name": "Beta", "tasks": [{"title": "ship", "project": "Beta"}]}
    ]
    with_embeds = "title,...projects(clients(name),tasks(id),none:clients())"
    assert await get(http, f"/tasks?select={with_embeds}&id=eq.4") == [
        {"title": "ship", "clients": {"name": "Acme"}, "tasks": [{"id": 4}]}
    ]
    assert await get(http, "/tasks?select=title,...projects()&id=eq.4") == [{"title": "ship"}]
    assert await get(http, "/tasks?select=...projects()&id=eq.4") == [{}]


async def test_members_are_printed_in_the_order_asked_for(http):
    """The table's own columns first, then embeds and spreads as they stand in the select."""
    for select, members in (
        ("*,...badges(label)", ["id", "name", "label"]),
        ("name,id,...badges(label)", ["name", "id", "label"]),
        (
            "...badges(label,client_id),projects(id),name",
            ["name", "label", "client_id", "projects"],
        ),
        ("projects(id),...badges(client_id,label),id", ["id", "projects", "client_id", "label"]),
    ):
        text = (await http.get(f"/clients?select={select}&order=id")).text
        rows = json.loads(text, object_pairs_hook=list)
        assert [[member for member, _ in row] for row in rows] == [members] * 3
        # What stands between the rows is what json_agg puts there: clients pass lists on by it.
        assert text.count(", \n {") == 2


async def test_names_that_are_there_twice_are_not_told_apart(http):
    """As in PostgREST: printed twice where both can be named, refused where they cannot."""
    text = (await http.get("/projects?select=name,...clients(name)&id=eq.1")).text
    assert json.loads(text, object_pairs_hook=list) == [[("name", "Alpha"), ("name", "Acme")]]
    refused = await http.get("/tasks?select=...projects(name,...clients(name))&id=eq.1")
    assert (refused.status_code, refused.json()["code"]) == (400, "42702")


async def test_filters_empty_the_columns_and_inner_drops_the_rows(http):
    """Counted as shown; null filters find rows with and without a related one."""
    rows = await get(
        http, "/projects?select=id,...clients(client:name)&clients.name=eq.Bolt&order=id"
    )
    assert rows == [
        {"id": 1, "client": None},
        {"id": 2, "client": None},
        {"id": 3, "client": "Bolt"},
    ]
    for condition, select, found in (
        ("clients.name=eq.Bolt", "id,...clients!inner(client:name)", [(3, "Bolt")]),
        ("clients.or=(name.eq.Bolt,id.eq.7)", "id,...clients!inner(client:name)", [(3, "Bolt")]),
        ("clients.name=eq.Bolt&clients=not.is.null", "id,...clients(client:name)", [(3, "Bolt")]),
        ("clients.name=eq.Acme&clients=is.null", "id,...clients(client:name)", [(3, None)]),
    ):
        answer = await http.get(
            f"/projects?select={select}&{condition}", headers={"Prefer": "count=exact"}
        )
        assert answer.json() == [{"id": number, "client": name} for number, name in found]
        assert answer.headers["content-range"] == "0-0/1"


@pytest.mark.parametrize(
    ("select", "order", "names"),
    [
        (
            "name,...clients(client:name)",
            "clients(client).desc,id",
            ["Gamma, Inc.", "Alpha", "Beta"],
        ),
        ("name,...clients(n:id)", "clients(n),id.desc", ["Beta", "Alpha", "Gamma, Inc."]),
        ("name,clients(n:id)", "clients(n),id.desc", ["Beta", "Alpha", "Gamma, Inc."]),
        (
            "name,...clients(...badges(badge:label))",
            "clients(badge).nullsfirst,id.desc",
            ["Gamma, Inc.", "Beta", "Alpha"],
        ),
    ],
)
async def test_rows_are_ordered_by_what_the_relation_puts_out(http, select, order, names):
    """By its aliases, as PostgREST does it."""
    rows = await get(http, f"/projects?select={select}&order={order}")
    assert [row["name"] for row in rows] == names


async def test_ordering_by_what_the_relation_does_not_put_out_is_refused(http):
    """As in PostgREST; so is ordering by a column that nobody has."""
    for order in ("clients(name)", "clients(nope)"):
        path = f"/projects?select=name,...clients(client:name)&order={order}"
        refused = await http.get(path)
        assert (refused.status_code, refused.json()["code"]) == (400, "42703")


async def test_written_rows_are_spread_and_put_back(http):
    """POST with `columns`, PATCH and DELETE answer with the spread rows; one object, too."""
    represent = {"Prefer": "return=representation"}
    select = "id,title,...projects(project:name,...clients(client:name))"
    new = {"id": 90, "project_id": 3, "title": "spread", "priority": 7, "unknown": 1}
    path = f"/tasks?columns=id,project_id,title&select={select}"
    made = await http.post(path, json=new, headers=represent)
    row = {"id": 90, "title": "spread", "project": "Gamma, Inc.", "client": "Bolt"}
    assert (made.status_code, made.json()) == (201, [row])
    # The key that leads to the relation is not among what is shown.
    moved = await http.patch(
        "/tasks?id=eq.90&columns=project_id&select=title,...projects(project:name)",
        json={"project_id": 2, "title": "ignored"},
        headers={**represent, "Accept": "application/vnd.pgrst.object+json"},
    )
    assert moved.json() == {"title": "spread", "project": "Beta"}
    gone = await http.delete("/tasks?id=eq.90&select=*,...projects(budget)", headers=represent)
    [deleted] = gone.json()
    assert (deleted["priority"], deleted["budget"], list(deleted)[-1]) == (3, 20, "budget")


async def test_function_results_are_spread(http):
    """Rows of a table that a function returns have its relationships."""
    rows = await get(
        http, "/rpc/projects_of?client=1&select=id,...clients(client:name)&order=id.desc"
    )
    assert rows == [{"id": 2, "client": "Acme"}, {"id": 1, "client": "Acme"}]
    one = await get(http, "/rpc/one_project?id=3&select=...clients(client:name)")
    assert one == {"client": "Bolt"}


async def test_nulls_that_a_missing_row_left_may_be_stripped(http):
    """As all nulls."""
    accept = "application/vnd.pgrst.array+json;nulls=stripped"
    rows = await get(http, "/clients?select=id,...badges(label)&order=id&limit=2", Accept=accept)
    assert rows == [{"id": 1, "label": "gold"}, {"id": 2}]


async def test_what_the_caller_may_not_see_is_null(rest):
    """Row-level security decides about the related row as about every other."""
    await rest.sql(
        "create table public.pins (client_id int primary key references public.clients, pin text);"
        "alter table public.pins enable row level security;"
        "grant select on public.pins to authenticated;"
        "create policy own on public.pins to authenticated"
        " using (client_id::text = current_setting('request.jwt.claims', true)::json ->> 'sub');"
        "insert into public.pins values (1, 'one'), (2, 'two');"
    )
    async with rest.client(sub="2") as two:
        rows = await get(two, "/clients?select=id,...pins(pin)&order=id")
    assert rows == [{"id": 1, "pin": None}, {"id": 2, "pin": "two"}, {"id": 3, "pin": None}]


async def test_spreading_many_rows_is_refused_with_what_other_versions_do(http):
    """PGRST119, as PostgREST up to 12; from 13 on it makes arrays of them."""
    refused = await http.get("/clients?select=id,...projects(name)")
    assert refused.status_code == 400
    assert refused.json() == {
        "code": "PGRST119",
        "message": "A spread operation on 'projects' is not possible",
        "details": "'clients' and 'projects' do not form a many-to-one or one-to-one relationship",
        "hint": "PostgREST 13 and later spread it into arrays; the local stack does not.",
    }
    nested = await http.get("/badges?select=...clients(...projects(name))")
    assert nested.json()["code"] == "PGRST119"
