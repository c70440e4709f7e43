"""The whole application against a scripted Supabase: failures, headers, logs."""

import asyncio
import json
import logging
from uuid import uuid4

import httpx
import pytest
from opentelemetry.trace import NoOpTracer, TracerProvider

from crm_service.access import StaffCheck
from crm_service.customers import routes as customer_routes
from crm_service.customers.schemas import CustomerRead
from crm_service.errors import UpstreamUnavailableError
from crm_service.imports import exports
from crm_service.metrics import Metrics
from crm_service.observability import JsonFormatter
from tests.support.crm import (
    AUTH,
    CUSTOMER_ROW,
    STAFF_ID,
    ScriptedSupabase,
    ask,
    assert_problem,
    make_settings,
    refusal,
    rows,
    running_app,
    scripted_app,
)

ID = CUSTOMER_ROW["id"]


async def hang(_request):
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (httpx.ConnectError("refused"), 503, "database-unavailable"),
        (httpx.ReadTimeout("slow"), 503, "database-timeout"),
        (httpx.RemoteProtocolError("cut"), 503, "database-unavailable"),
        (httpx.Response(502, text="<html>"), 503, "database-unavailable"),
        (httpx.Response(200, text="<html>"), 503, "database-contract"),
        (httpx.Response(200, json={"not": "rows"}), 503, "database-contract"),
        (httpx.Response(200, json=[{"id": "not-a-uuid"}]), 503, "database-contract"),
        (refusal("57014", 500), 504, "statement-timeout"),
    ],
    ids=repr,
)
async def test_a_failing_database_is_one_clear_answer(answer, status, code):
    """Down, slow or garbled: a problem with Retry-After, for reads and for writes."""
    for method, kwargs in (("GET", {}), ("PATCH", {"json": {"name": "B", "version": 3}})):
        response = await ask(ScriptedSupabase(answer), method, f"/v1/customers/{ID}", **kwargs)
        assert_problem(response, status, code)
        assert int(response.headers["retry-after"]) > 0


async def test_a_list_is_the_rows_that_fit_the_page_and_where_to_go_on():
    """One row more is asked for; its place is that of the last one shown."""
    other = {**CUSTOMER_ROW, "id": CUSTOMER_ROW["id"].replace("1", "2"), "name": "Grace"}
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW, other), rows(other))
    async with running_app(make_settings(), supabase) as (_, client):
        first = (await client.get("/v1/customers?limit=1", headers=AUTH)).json()
        assert [item["name"] for item in first["items"]] == [CUSTOMER_ROW["name"]]
        query = {"limit": 1, "cursor": first["next_cursor"]}
        second = (await client.get("/v1/customers", params=query, headers=AUTH)).json()
    assert [item["name"] for item in second["items"]] == ["Grace"]
    assert second["next_cursor"] is None
    asked = supabase.calls[1].url.params
    assert CUSTOMER_ROW["id"] in asked["or"]
    assert CUSTOMER_ROW["created_at"] in asked["or"]


async def test_a_list_names_the_columns_it_misses():
    """A database without our migrations answers with 503, not with half a row."""
    strange = {k: v for k, v in CUSTOMER_ROW.items() if k not in {"preferences", "version"}}
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW, strange))
    response = await ask(supabase, "GET", "/v1/customers")
    problem = assert_problem(response, 503, "database-contract")
    assert "(preferences, version)" in problem["detail"]


async def test_a_hanging_database_is_given_up_in_time():
    """No request hangs longer than the configured time, and the read is not left running."""
    settings = make_settings(database_timeout_s=0.05)
    response = await ask(ScriptedSupabase(hang), "GET", f"/v1/customers/{ID}", settings=settings)
    assert_problem(response, 503, "database-timeout")


async def test_the_service_recovers_with_the_database():
    """After an outage the next request works; nothing has to be restarted."""
    supabase = ScriptedSupabase(httpx.ConnectError("down"), rows(CUSTOMER_ROW))
    async with scripted_app(supabase) as (_, client):
        assert (await client.get(f"/v1/customers/{ID}", headers=AUTH)).status_code == 503
        assert (await client.get(f"/v1/customers/{ID}", headers=AUTH)).status_code == 200


async def test_a_read_survives_a_pooled_connection_that_was_closed():
    """The server may close an idle connection: reads try once more, writes do not."""
    cut = httpx.RemoteProtocolError("Server disconnected")
    supabase = ScriptedSupabase(cut, rows(CUSTOMER_ROW))
    assert (await ask(supabase, "GET", f"/v1/customers/{ID}")).status_code == 200
    supabase = ScriptedSupabase(cut, rows(CUSTOMER_ROW))
    response = await ask(supabase, "PATCH", f"/v1/customers/{ID}", json={"name": "B", "version": 3})
    problem = assert_problem(response, 503, "database-unavailable")
    assert "unknown" in problem["detail"]
    assert len(supabase.calls) == 1


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_a_collision_is_retried_once(sqlstate):
    """A serialization failure or deadlock was undone whole: once more, then 503."""
    supabase = ScriptedSupabase(refusal(sqlstate), rows(CUSTOMER_ROW, status=201))
    response = await ask(supabase, "POST", "/v1/customers", json={"name": "Ada"})
    assert response.status_code == 201
    supabase = ScriptedSupabase(refusal(sqlstate))
    response = await ask(supabase, "POST", "/v1/customers", json={"name": "Ada"})
    assert_problem(response, 503, "busy")
    assert len(supabase.calls) == 2


async def test_each_call_is_made_as_the_member_of_staff():
    """Their token, the publishable key, the request id and the idempotency key go along."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW, status=201))
    headers = {"X-Request-Id": "order-66", "Idempotency-Key": "k-1"}
    response = await ask(supabase, "POST", "/v1/customers", json={"name": "Ada"}, headers=headers)
    assert response.headers["x-request-id"] == "order-66"
    sent = supabase.calls[0].headers
    assert sent["authorization"] == AUTH["Authorization"]
    assert sent["apikey"] == "sb_publishable_test"
    assert sent["x-request-id"] == "order-66"
    assert sent["idempotency-key"] == "k-1"
    assert sent["prefer"] == "return=representation"


async def test_a_strange_request_id_is_replaced():
    """What could break a log line is not kept."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    headers = {"X-Request-Id": "a b"}
    response = await ask(supabase, "GET", f"/v1/customers/{ID}", headers=headers)
    assert len(response.headers["x-request-id"]) == 32


async def test_a_row_that_moves_on_while_it_is_compared_is_read_again():
    """What a conflict shows of others is what is stored, never what was stored before."""
    moved = {"fields": {"phone": {"old": None, "actor": STAFF_ID}}, "complete": True, "version": 5}
    read = [{**CUSTOMER_ROW, "version": 4}, {**CUSTOMER_ROW, "version": 5, "phone": "1"}]
    answers = [rows(), rows(read[0]), httpx.Response(200, json=moved)]
    answers += [rows(), rows(read[1]), httpx.Response(200, json=moved)]
    path, body = f"/v1/customers/{ID}", {"phone": "2", "version": 3}
    response = await ask(ScriptedSupabase(*answers), "PATCH", path, json=body)
    problem = assert_problem(response, 409, "stale-version")
    assert problem["current"]["version"] == 5
    assert [conflict["theirs"] for conflict in problem["conflicts"]] == ["1"]


async def test_a_copy_that_overtakes_the_first_shows_what_that_one_did():
    """The row was read before the first copy took effect, and its claim after."""
    before, after = {**CUSTOMER_ROW, "version": 4}, {**CUSTOMER_ROW, "version": 5, "phone": "2"}
    claimed = httpx.Response(200, json="same")
    supabase = ScriptedSupabase(rows(), rows(before), claimed, rows(after))
    path, body = f"/v1/customers/{ID}", {"phone": "2", "version": 3}
    response = await ask(supabase, "PATCH", path, json=body, headers={"Idempotency-Key": "k-1"})
    assert (response.json()["phone"], response.headers["etag"]) == ("2", '"5"')
    assert response.headers["idempotency-replayed"] == "true"


async def test_the_same_key_makes_the_same_id():
    """Without an id of its own, a creation gets one from user, table and idempotency key."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW, status=201))
    ids = []
    for key in ("k-1", "k-1", "k-2"):
        headers = {"Idempotency-Key": key}
        await ask(supabase, "POST", "/v1/customers", json={"name": "Ada"}, headers=headers)
        ids.append(json.loads(supabase.calls[-1].content)["id"])
    assert ids[0] == ids[1] != ids[2]


async def test_a_recent_staff_check_is_reused_while_the_database_gives_something():
    """One call per request; row-level security judges every one of them."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    async with scripted_app(supabase) as (_, client):
        for _ in range(3):
            body = {"name": "B", "version": 3}
            await client.patch(f"/v1/customers/{ID}", json=body, headers=AUTH)
            await client.get(f"/v1/customers/{ID}", headers=AUTH)
    assert supabase.staff_checks == 1


async def test_an_empty_answer_is_doubted():
    """Nothing is also what somebody gets who was removed: they are told so at once."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW), rows())
    async with scripted_app(supabase) as (_, client):
        assert (await client.get("/v1/customers", headers=AUTH)).status_code == 200
        assert (await client.get("/v1/customers", headers=AUTH)).status_code == 200
        supabase.staff = False
        assert_problem(await client.get("/v1/customers", headers=AUTH), 403, "staff-inactive")


async def test_nothing_is_written_for_somebody_who_is_not_staff():
    """The check comes before the write."""
    supabase = ScriptedSupabase(rows())
    supabase.staff = False
    response = await ask(supabase, "POST", "/v1/customers", json={"name": "Ada"})
    assert_problem(response, 403, "staff-inactive")
    assert supabase.calls == []


async def test_somebody_removed_a_moment_ago_is_told_so():
    """A refusal within the grace of the staff check is explained by a fresh check."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW, status=201), refusal("42501", 403))
    async with scripted_app(supabase) as (_, client):
        body = {"name": "Ada"}
        assert (await client.post("/v1/customers", json=body, headers=AUTH)).status_code == 201
        supabase.staff = False
        response = await client.post("/v1/customers", json=body, headers=AUTH)
    assert_problem(response, 403, "staff-inactive")


@pytest.mark.parametrize("path", [f"/v1/customers/{ID}", "/metrics"], ids=["plain", "framework"])
async def test_a_bug_is_a_problem_and_leaves_no_data_in_the_log(monkeypatch, caplog, path):
    """An unforeseen exception, in FastAPI or before it: told once, and without its message."""

    def break_off(*_args):
        raise RuntimeError("row of ada@example.com")

    async def break_off_later(*_args):
        break_off()

    monkeypatch.setattr(StaffCheck, "require", break_off_later)
    monkeypatch.setattr(Metrics, "render", break_off)
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    with caplog.at_level(logging.INFO):
        response = await ask(supabase, "GET", path)
    assert_problem(response, 500, "internal")
    assert response.headers["x-content-type-options"] == "nosniff"
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert sum('"error":"RuntimeError"' in line for line in lines) == 1
    assert not any("ada@example.com" in line for line in lines)


async def test_an_answer_that_breaks_off_does_not_look_whole(monkeypatch):
    """What had begun cannot become a problem; the server ends the connection."""

    async def broken(*_args, **_kwargs):
        yield []
        raise RuntimeError

    monkeypatch.setattr(exports, "_pages", broken)
    with pytest.raises(RuntimeError):
        await ask(ScriptedSupabase(rows(CUSTOMER_ROW)), "GET", "/v1/exports/customers")


async def test_an_answer_that_an_outage_breaks_off_is_no_bug(monkeypatch, caplog):
    """The log names the outage; the server ends the connection all the same."""

    async def broken(*_args, **_kwargs):
        yield []
        raise UpstreamUnavailableError("PostgREST is away.", retry_after_s=1)

    monkeypatch.setattr(exports, "_pages", broken)
    with caplog.at_level("WARNING"), pytest.raises(RuntimeError):
        await ask(ScriptedSupabase(rows(CUSTOMER_ROW)), "GET", "/v1/exports/customers")
    (line,) = [record for record in caplog.records if record.name == "crm_service.request_context"]
    assert (line.getMessage(), line.code) == ("answer broken off", "database-unavailable")


@pytest.mark.parametrize(
    ("target", "route", "status"),
    [
        (f"/v1/customers/{ID}", "/v1/customers/{customer_id}", 200),
        (f"/v1/customers/{ID}?secret=x", "/v1/customers/{customer_id}", 422),
        ("/v1/customers?q=secret", "/v1/customers", 200),
    ],
)
async def test_one_line_per_request_without_personal_data(caplog, target, route, status):
    """Method, route template, status and time; no path, query, token or id."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    with caplog.at_level(logging.INFO, logger="crm_service"):
        await ask(supabase, "GET", target)
        await asyncio.sleep(0)  # the line is written when the answer is out
    (record,) = [record for record in caplog.records if record.getMessage() == "request"]
    line = json.loads(JsonFormatter().format(record))
    assert line["route"] == route
    assert (line["method"], line["status"]) == ("GET", status)
    assert line["duration_ms"] == round(line["duration_ms"], 2) >= 0
    text = json.dumps(line)
    assert ID not in text
    assert "secret" not in text


async def test_no_span_tells_of_a_request(monkeypatch):
    """FastAPI's spans carry path and query, where ids and names of customers stand."""

    class Tracers(TracerProvider):
        asked = 0

        def get_tracer(self, *_args, **_kwargs):
            self.asked += 1
            return NoOpTracer()

    tracers = Tracers()
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: tracers)
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    response = await ask(supabase, "GET", "/v1/customers?q=secret")
    assert response.status_code == 200
    assert tracers.asked == 0


async def test_readiness_says_what_is_missing():
    """Ready when our grants refuse the bare key; not ready when the table is missing."""
    supabase = ScriptedSupabase(refusal("42501", 401))
    async with scripted_app(supabase) as (_, client):
        assert (await client.get("/live")).json() == {"status": "live"}
        assert (await client.get("/ready")).json() == {"status": "ready"}
        supabase.answers = [refusal("PGRST205", 404)]
        assert_problem(await client.get("/ready"), 503, "database-contract")
        supabase.answers = [httpx.ConnectError("down")]
        assert_problem(await client.get("/ready"), 503, "database-unavailable")
        assert (await client.get("/live")).status_code == 200


_OTHER_FORMS = {
    "/v1/events": {"text/event-stream"},
    "/v1/exports/{kind}": {"text/csv"},
    "/v1/imports/{kind}": {"application/json", "text/csv", "text/event-stream"},
}


async def test_openapi_describes_every_error_as_a_problem():
    """Every operation documents its problems, every request body has an example."""
    async with scripted_app(ScriptedSupabase(rows())) as (_, client):
        document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert "Problem" in schemas
    assert "HTTPValidationError" not in schemas
    for path, operations in document["paths"].items():
        if not path.startswith("/v1/"):
            continue
        for operation in operations.values():
            for status, response in operation["responses"].items():
                kinds = set(response.get("content", ()))
                good = _OTHER_FORMS.get(path, {"application/json"}) if status != "204" else set()
                wanted = good if status < "300" else {"application/problem+json"}
                assert kinds == wanted, (path, status)
                if status >= "400":
                    example = response["content"]["application/problem+json"]["example"]
                    assert example["status"] == int(status), (path, status)
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                references = [body["schema"], *body["schema"].get("anyOf", ())]
                (name,) = (r["$ref"].rpartition("/")[2] for r in references if "$ref" in r)
                assert "example" in schemas[name], name


async def test_a_column_that_the_record_does_not_have_is_not_shown(monkeypatch):
    """It is cut off the rows that came, and the columns are asked for by name from then on."""
    monkeypatch.setattr(customer_routes._customers, "_by_name", False)
    row = CustomerRead.model_validate(CUSTOMER_ROW).model_dump(mode="json")
    printed = [json.dumps({**row, "id": str(uuid4()), "credit_limit": 7}) for _ in range(2)]
    text = "[" + ", \n ".join(printed) + "]"
    supabase = ScriptedSupabase(httpx.Response(200, text=text))
    answer = await ask(supabase, "GET", "/v1/customers")
    assert len(answer.json()["items"]) == 2
    assert all(item.keys() == row.keys() for item in answer.json()["items"])
    assert "select" not in supabase.calls[-1].url.params
    await ask(supabase, "GET", "/v1/customers")
    assert "credit_limit" not in supabase.calls[-1].url.params["select"].split(",")
