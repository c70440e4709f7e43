"""Nothing of one request is left for the next: role, claims, settings, temporary objects, locks."""

import asyncio
import json
import random

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.rest import RestConfig
from tests.integration.rest.conftest import Made, RunningRest
from tests.support.waiting import eventually

SCHEMA = """
create function public.state() returns json language sql volatile as $$
    select json_build_object(
        'role', current_user,
        'claims', current_setting('request.jwt.claims', true)::json,
        'tag', current_setting('request.headers', true)::json ->> 'x-tag',
        'method', current_setting('request.method', true),
        'path', current_setting('request.path', true),
        'search_path', current_setting('search_path'),
        'timeout', current_setting('statement_timeout'),
        'work_mem', current_setting('work_mem'),
        'zone', current_setting('timezone'),
        'dates', current_setting('datestyle'),
        'encoding', current_setting('client_encoding'),
        'isolation', current_setting('transaction_isolation'),
        'row_security', current_setting('row_security'),
        'read_only', current_setting('transaction_read_only'),
        'own', coalesce(current_setting('app.left', true), ''),
        'temporary', to_regclass('pg_temp.clients') is not null,
        'locks', (
            select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
        'channels', (select count(*) from pg_listening_channels()),
        'cursors', (select count(*) from pg_cursors where is_holdable),
        'statements', (select count(*) from pg_prepared_statements where from_sql),
        'secrets', (select coalesce(json_agg(s.id order by s.id), '[]') from public.secrets s))
$$;
create function public.soil(how text, fail bool default false) returns text
language plpgsql volatile as $$
begin
    execute how;
    if fail then
        raise exception 'on purpose' using errcode = 'P0001';
    end if;
    return how;
end;
$$;
create function public.soil_slowly(how text) returns text language plpgsql volatile as $$
begin
    execute how;
    perform pg_sleep(0.05);
    return how;
end;
$$;
create function public.my_setting(text, text, bool) returns text language sql volatile
as 'select ''stolen''';
create schema hostile;
grant usage on schema hostile to public;
create function hostile.set_config(text, text, bool) returns text language sql volatile
as 'select ''stolen''';
create function hostile.concat(variadic text[]) returns text language sql volatile
as 'select ''stolen''';
grant select on public.secrets to anon;
"""
LEFT_BEHIND = (
    "set role service_role",
    "set session authorization default",
    "reset role",
    "select set_config('role', 'service_role', false)",
    """select set_config('request.jwt.claims', '{"sub":"al","role":"authenticated"}', false)""",
    """select set_config('request.headers', '{"x-tag":"stolen"}', false)""",
    "select set_config('request.method', 'STOLEN', false), set_config('request.path', 'x', false)",
    "select set_config('response.status', '418', false)",
    """select set_config('response.headers', '[{"X-Left": "yes"}]', false)""",
    "select set_config('app.left', 'yes', false)",
    "set search_path = hostile, pg_catalog",
    "set statement_timeout = '1ms'",
    "set statement_timeout = 0",
    "set lock_timeout = '1ms'",
    "set work_mem = '64kB'",
    "set timezone = 'Asia/Tokyo'",
    "set datestyle = 'German'",
    "set client_encoding = 'LATIN1'",
    "set row_security = off",
    "set default_transaction_read_only = on",
    "set default_transaction_isolation = 'serializable'",
    "set default_transaction_deferrable = on",
    "set standard_conforming_strings = off",
    "reset all",
    "discard plans",
    "discard temp",
    "deallocate all",
    "create temp table clients as select 666 as id, 'stolen'::text as name",
    "select pg_advisory_lock(7)",
    "listen somewhere",
    "declare kept cursor with hold for select 1",
    "prepare kept as select 1",
    "select 1 / 0",
    "set transaction_isolation = 'serializable'",
)
# Whatever else such a statement is refused with is fine; only a server's fault is not.
NO_FAULT = range(200, 500)


@pytest.fixture(scope="module")
def shared(cluster):
    """A server with two connections, so that every connection is soon used by everyone."""
    database = Made(cluster).database("rest_isolation")
    running = RunningRest(database, RestConfig(pool_size=2))
    asyncio.run(running.sql(SCHEMA + "notify pgrst, 'reload schema';"))
    yield running
    running.close()
    cluster.drop(database)


def identities(rest):
    """Several users, an anonymous one, and the service."""
    people = [("authenticated", name) for name in ("jo", "al", "kim", "eve")]
    return [*people, ("service_role", "svc"), (None, None)]


async def expect_own_state(client, rest, role, sub, tag):
    """Ask for the state of a request and compare all of it with what it must be."""
    headers = {"X-Tag": tag}
    if role is not None:
        headers["Authorization"] = f"Bearer {rest.token(role, sub=sub)}"
    response = await client.post("/rpc/state", headers=headers)
    assert response.status_code == 200, response.text
    assert "x-left" not in response.headers
    seen = response.json()
    claims = seen.pop("claims")
    assert (claims.get("sub"), claims["role"]) == (sub, role or "anon")
    own = {"jo": [1], "al": [2], "svc": [1, 2]}
    assert seen == {
        "role": role or "anon",
        "tag": tag,
        "method": "POST",
        "path": "/rpc/state",
        "search_path": '"public", "extensions"',
        "timeout": "3s" if role is None else "8s",
        "work_mem": "4MB",
        "zone": seen["zone"],
        "dates": "ISO, MDY",
        "encoding": "UTF8",
        "isolation": "read committed",
        "row_security": "on",
        "read_only": "off",
        "own": "",
        "temporary": False,
        "locks": 0,
        "channels": 0,
        "cursors": 0,
        "statements": 0,
        "secrets": own.get(sub, []),
    }
    assert seen["zone"] != "Asia/Tokyo"


@pytest.mark.parametrize("how", LEFT_BEHIND)
async def test_the_next_request_finds_nothing_left(shared, how):
    """One at a time, on the same connection: last used is first used again."""
    async with httpx.AsyncClient(base_url=shared.url) as client:
        for fail in (False, True):
            dirty = await client.post(
                "/rpc/soil",
                json={"how": how, "fail": fail},
                headers={"Authorization": f"Bearer {shared.token(sub='eve')}"},
            )
            assert dirty.status_code in (*NO_FAULT, 500), dirty.text
            assert dirty.json() == how or "code" in dirty.json()
            for role, sub in (("authenticated", "jo"), (None, None), ("service_role", "svc")):
                await expect_own_state(client, shared, role, sub, "next")


async def test_the_statements_of_this_test_really_soil_the_session(shared):
    """The proof above is worth something: within the request the settings do change."""
    both = "set work_mem = '64kB'; set role service_role; create temp table clients (id int)"
    await shared.sql(
        "create or replace function public.soil_and_tell(how text) returns json "
        "language plpgsql as $$ begin execute how; return public.state(); end; $$"
    )
    async with shared.client(sub="eve") as client:
        seen = (await client.post("/rpc/soil_and_tell", json={"how": both})).json()
    assert (seen["role"], seen["work_mem"], seen["temporary"]) == ("service_role", "64kB", True)


STEPS = st.tuples(
    st.sampled_from(("state", "state", "soil", "fail", "cancel", "single", "bad_role", "read")),
    st.integers(0, 5),
    st.sampled_from(LEFT_BEHIND),
)


@settings(max_examples=12)
@given(st.lists(STEPS, min_size=20, max_size=60), st.randoms(use_true_random=False))
def test_concurrent_requests_never_see_each_other(shared, steps, chance):
    asyncio.run(_run_all(shared, steps, chance))


async def _run_all(rest, steps, chance: random.Random):
    async with httpx.AsyncClient(base_url=rest.url, timeout=30) as client:
        for start in range(0, len(steps), 8):
            batch = steps[start : start + 8]
            await asyncio.gather(*(_step(client, rest, each, chance.random()) for each in batch))
        for role, sub in identities(rest):
            await expect_own_state(client, rest, role, sub, "after")


async def _step(client, rest, step, delay):
    kind, who, how = step
    role, sub = identities(rest)[who]
    headers = {} if role is None else {"Authorization": f"Bearer {rest.token(role, sub=sub)}"}
    if kind == "state":
        await expect_own_state(client, rest, role, sub, f"tag{who}")
    elif kind == "read":
        rows = (await client.get("/secrets?select=id&order=id", headers=headers)).json()
        assert rows == [{"id": each} for each in {"jo": [1], "al": [2], "svc": [1, 2]}.get(sub, [])]
    elif kind == "bad_role":
        token = rest.token("postgres")
        refused = await client.get("/clients", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 403
    elif kind == "cancel":
        asking = client.post("/rpc/soil_slowly", json={"how": how}, headers=headers)
        try:
            await asyncio.wait_for(asking, delay * 0.06)
        except TimeoutError:
            return
    else:
        if kind == "single":
            headers |= {"Accept": "application/vnd.pgrst.object+json"}
        body = json.dumps({"how": how, "fail": kind == "fail"})
        headers["Content-Type"] = "application/json"
        answer = await client.post("/rpc/soil", content=body, headers=headers)
        assert answer.json() == how or "code" in answer.json()


async def test_a_cancelled_call_gives_its_connection_to_nobody(shared):
    """Cancelled inside the server, while the statement runs: the connection is cut."""
    executor = shared.server._executor  # the seam below HTTP
    pool = executor._pool
    async with shared.client(sub="jo") as client:
        await asyncio.gather(*(client.post("/rpc/state") for _ in range(2)))

        async def cancelled():
            await eventually(lambda: not pool._lent)  # answers are out before that
            asking = asyncio.create_task(_call_directly(shared))
            await eventually(lambda: bool(pool._lent))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            return asking.cancelled(), len(pool._lent)

        assert await asyncio.to_thread(shared._thread.call, cancelled()) == (True, 0)
        await expect_own_state(client, shared, "authenticated", "jo", "after")


async def _call_directly(rest):
    token = rest.token("service_role", sub="svc")
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/rpc/soil_slowly",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
    }
    body = json.dumps({"how": "set role service_role"}).encode()

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        raise AssertionError(message)

    await rest.server(scope, receive, send)
