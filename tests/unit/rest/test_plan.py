"""Plans and SQL: names come from the cache, values are bound, what is missing is explained."""

from typing import Any

import pytest

from local_stack.rest.config import RestConfig
from local_stack.rest.errors import RestError
from local_stack.rest.plan import plan_request
from local_stack.rest.request import HttpRequest, parse_request
from local_stack.rest.sql import Statement, render_plan
from tests.unit.rest.sample_cache import CACHE


def render(
    path: str, query: str = "", *, method: str = "GET", body: bytes = b"{}", prefer: str = ""
) -> Statement:
    headers = {"prefer": prefer} if prefer else {}
    http = HttpRequest(method, path, query, headers, body)
    request = parse_request(http, RestConfig(), CACHE.timezones)
    return render_plan(plan_request(request, CACHE, None))


def refusal(*args: Any, **kwargs: Any) -> RestError:
    with pytest.raises(RestError) as caught:
        render(*args, **kwargs)
    return caught.value


def test_values_are_bound_as_text_and_cast():
    statement = render("/jobs", "id=eq.5&title=like.a*")
    assert '"public"."jobs"."id" = $1::text::"pg_catalog"."int4"' in statement.sql
    assert '"public"."jobs"."title" like $2::text' in statement.sql
    assert statement.values == ("5", "a%")


def test_in_binds_one_array_literal():
    statement = render("/jobs", 'title=in.(a,"b,c","d\\"e")')
    assert '= any ($1::text::"pg_catalog"."_text")' in statement.sql
    assert statement.values == ('{"a","b,c","d\\"e"}',)


def test_json_keys_are_bound():
    statement = render("/clients", "select=data->a->>0&data->>k=eq.v")
    assert '"data"->$1::text->>$2::text::int4 as "a"' in statement.sql
    assert statement.values == ("a", "0", "k", "v")


def test_paths_into_other_types_convert_to_jsonb_first():
    assert 'to_jsonb("public"."jobs"."title")->>$1::text' in render("/jobs", "select=title->>x").sql


def test_aliases_are_quoted():
    assert 'as "x""; drop"' in render("/jobs", 'select="x\\"; drop":id').sql


def test_one_value_is_not_aggregated_unless_something_is_asked_of_it():
    assert "json_agg" not in render("/rpc/add", "a=1&b=2").sql
    assert "json_agg" in render("/rpc/add", "a=1&b=2&limit=1").sql
    assert "json_agg" in render("/rpc/add", "a=1&b=2", prefer="count=exact").sql


def test_limits_are_bound():
    statement = render("/jobs", "limit=3&offset=4")
    assert "limit $1::text::int8 offset $2::text::int8" in statement.sql
    assert statement.values == ("3", "4")


@pytest.mark.parametrize(
    ("query", "fragment"),
    [
        ("select=*,clients(name)", "row_to_json"),
        ("select=*,notes(id)", "json_agg"),
        ("select=*,client:clients!jobs_client_id_fkey(name)", 'as "client"'),
        ("select=*,clients!client_id(name)", "row_to_json"),
        ("select=*,client_id(name)", "row_to_json"),
        ("select=*,notes!inner(id)", "inner join lateral"),
    ],
)
def test_foreign_keys_are_followed(query, fragment):
    assert fragment in render("/jobs", query).sql


def test_a_foreign_key_on_the_primary_key_is_one_to_one_both_ways():
    assert "json_agg(" in render("/clients", "select=jobs(id)").sql.replace("json_agg(pgrst_t)", "")
    to_profile = render("/clients", "select=profile(bio)").sql
    assert "json_agg(" not in to_profile.replace("json_agg(pgrst_t)", "")


def test_self_references_go_both_ways():
    down = render("/notes", "select=id,notes(id)").sql
    up = render("/notes", "select=id,parent_id(id)").sql
    assert '"pgrst_t1"."parent_id" = "public"."notes"."id"' in down
    assert '"pgrst_t1"."id" = "public"."notes"."parent_id"' in up


def test_an_empty_embed_filters_but_is_not_shown():
    sql = render("/jobs", "select=id,clients!inner()&clients.name=eq.x").sql
    assert "inner join lateral" in sql
    assert 'as "clients"' not in sql


@pytest.mark.parametrize(
    ("select", "columns"),
    [
        ("*,...clients(name)", '"public"."jobs".*, "pgrst_e1"."name"'),
        ("...clients(n:name,data->k),id", '"public"."jobs"."id", "pgrst_e1"."n", "pgrst_e1"."k"'),
        ("...clients(*)", '"pgrst_e1".*'),
        ("id,...clients()", '"public"."jobs"."id"'),
        ("...clients(profile())", ""),
        ("...clients(name::text,...profile(bio))", '"pgrst_e1"."name", "pgrst_e1"."bio"'),
        ("...clients(p:profile(bio))", '"pgrst_e1"."p"'),
    ],
)
def test_a_spread_puts_its_columns_into_the_row(select, columns):
    assert f'from (select {columns} from "public"."jobs"' in render("/jobs", f"select={select}").sql


def test_null_filters_on_embeds_become_anti_joins():
    assert (
        '"pgrst_e1" is not distinct from null'
        in render("/jobs", "select=id,notes(id)&notes=is.null").sql
    )
    assert (
        '"pgrst_e1" is distinct from null'
        in render("/jobs", "select=id,notes(id)&notes=not.is.null").sql
    )


@pytest.mark.parametrize(
    ("path", "query", "status", "code", "message"),
    [
        ("/job", "", 404, "PGRST205", "Could not find the table 'public.job' in the schema cache"),
        ("/jobs", "x=eq.1", 400, "42703", "column jobs.x does not exist"),
        ("/jobs", "select=x", 400, "42703", "column jobs.x does not exist"),
        ("/jobs", "order=x", 400, "42703", "column jobs.x does not exist"),
        ("/jobs", "select=id::nope", 400, "42704", 'type "nope" does not exist'),
        (
            "/jobs",
            "select=mails(id)",
            400,
            "PGRST200",
            "Could not find a relationship between 'jobs' and 'mails' in the schema cache",
        ),
        (
            "/jobs",
            "n.x=eq.1",
            400,
            "PGRST108",
            "'n' is not an embedded resource in this request",
        ),
        (
            "/jobs",
            "select=*,notes(id)&notes=eq.1",
            400,
            "PGRST120",
            "Bad operator on the 'notes' embedded resource",
        ),
        (
            "/jobs",
            "select=*,notes(id)&order=notes(id)",
            400,
            "PGRST118",
            "A related order on 'notes' is not possible",
        ),
        (
            "/jobs",
            "select=*,...notes(id)",
            400,
            "PGRST119",
            "A spread operation on 'notes' is not possible",
        ),
        ("/jobs", "select=*,tags(label)", 400, "PGRST127", "Feature not implemented"),
        (
            "/rpc/add",
            "c=1",
            404,
            "PGRST202",
            "Could not find the function public.add(c) in the schema cache",
        ),
        (
            "/rpc/nope",
            "",
            404,
            "PGRST202",
            "Could not find the function public.nope without parameters in the schema cache",
        ),
        (
            "/rpc/same",
            "a=1",
            300,
            "PGRST203",
            "Could not choose the best candidate function between: public.same(a => int4), "
            "public.same(a => int4)",
        ),
    ],
)
def test_what_cannot_be_found_is_explained(path, query, status, code, message):
    error = refusal(path, query)
    assert (error.status, error.code, error.message) == (status, code, message)


def test_similar_names_are_suggested():
    assert refusal("/job").hint == "Perhaps you meant the table 'public.jobs'"
    assert refusal("/rpc/ad").hint == "Perhaps you meant to call the function public.add"
    assert refusal("/rpc/add", "x=1").hint == (
        "Perhaps you meant to call the function public.add(a, b)"
    )
    assert (
        refusal("/jobs", "select=note(id)").hint == "Perhaps you meant 'notes' instead of 'note'."
    )


def test_two_foreign_keys_to_one_table_need_a_hint():
    error = refusal("/mails", "select=clients(name)")
    assert (error.status, error.code) == (300, "PGRST201")
    assert error.hint == (
        "Try changing 'clients' to one of the following: 'clients!mails_from_id_fkey', "
        "'clients!mails_to_id_fkey'. Find the desired relationship in the 'details' key."
    )
    assert error.details[0] == {
        "cardinality": "many-to-one",
        "embedding": "mails with clients",
        "relationship": "mails_from_id_fkey using mails(from_id) and clients(id)",
    }
    assert "row_to_json" in render("/mails", "select=clients!from_id(name)").sql


def test_insert_takes_columns_from_the_body():
    statement = render("/jobs", method="POST", body=b'{"title":"t","id":1}')
    assert 'insert into "public"."jobs" ("id", "title") select' in statement.sql
    assert 'json_to_record($1::text::json) as pgrst_body("id" int4, "title" text)' in statement.sql
    assert "returning 1" in statement.sql


def test_unknown_columns_in_the_body_are_204():
    error = refusal("/jobs", method="POST", body=b'{"nope":1}')
    assert (error.status, error.code) == (400, "PGRST204")
    assert error.message == "Could not find the 'nope' column of 'jobs' in the schema cache"


def test_upsert_uses_the_primary_key_or_on_conflict():
    merge = "resolution=merge-duplicates"
    body = b'[{"id":1,"title":"t"}]'
    sql = render("/jobs", method="POST", body=body, prefer=merge).sql
    assert 'on conflict ("id") do update set "id" = excluded."id"' in sql
    ignore = "resolution=ignore-duplicates"
    sql = render("/jobs", "on_conflict=title", method="POST", body=body, prefer=ignore).sql
    assert 'on conflict ("title") do nothing' in sql


def test_missing_default_builds_on_the_declared_defaults():
    sql = render("/jobs", method="POST", body=b'{"id":1}', prefer="missing=default").sql
    assert "jsonb_build_object(E'id', nextval('x')) || $1::text::jsonb" in sql


def test_only_the_columns_that_are_needed_are_returned():
    sql = render(
        "/jobs",
        "select=title,clients(name)",
        method="POST",
        body=b'{"title":"t"}',
        prefer="return=representation",
    ).sql
    assert (
        'returning "public"."jobs"."client_id", "public"."jobs"."id", "public"."jobs"."title"'
        in sql
    )


def test_overloads_are_chosen_by_argument_names():
    assert '"public"."over"("a" => $1::text::' in render("/rpc/over", "a=1").sql
    assert '"b" => $2::text::' in render("/rpc/over", "a=1&b=2").sql


def test_a_single_unnamed_argument_takes_the_body():
    statement = render("/rpc/whole", method="POST", body=b'{"any":"thing"}')
    assert '"public"."whole"($1::text::"pg_catalog"."jsonb")' in statement.sql
    assert statement.values[0] == '{"any":"thing"}'


def test_strict_max_affected_needs_a_set():
    error = refusal("/rpc/add", "a=1", prefer="handling=strict,max-affected=1")
    assert (error.status, error.code) == (400, "PGRST128")
