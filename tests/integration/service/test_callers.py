"""Who gets in; each operation against each wrong caller is in test_bad_callers.py."""

import jwt
import pytest

from tests.support.crm import assert_problem
from tests.support.personas import (
    ADMIN,
    AGENT,
    MANAGER,
)


@pytest.mark.parametrize("persona", [AGENT, MANAGER, ADMIN], ids=str)
async def test_staff_get_in(http, sign_in, persona):
    """All three roles."""
    headers = {"Authorization": f"Bearer {sign_in(persona)}"}
    assert (await http.get("/v1/customers?limit=1", headers=headers)).status_code == 200


async def test_keys_and_forgeries_are_not_sessions(http, stack, sign_in):
    """API keys, a foreign signature and a cut token are each refused."""
    claims = jwt.decode(sign_in(AGENT), options={"verify_signature": False})
    forged = jwt.encode(claims, "some-other-secret-that-is-long-enough", algorithm="HS256")
    tokens = [
        stack.keys.publishable,
        stack.keys.secret,
        stack.keys.anon,
        stack.keys.service_role,
        forged,
        sign_in(AGENT)[:-5],
    ]
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        response = await http.get("/v1/customers", headers=headers)
        assert_problem(response, 401, "token-rejected")
        assert token not in response.text


async def test_deactivating_somebody_takes_effect_at_once(http, sign_in, stack):
    """The next read and the next write after the change are refused; the session stays valid."""
    import asyncpg

    headers = {"Authorization": f"Bearer {sign_in(MANAGER)}"}
    calls = [("GET", "/v1/customers", None), ("POST", "/v1/customers", {"name": "Late"})]
    for method, path, body in calls:
        assert (await http.request(method, path, json=body, headers=headers)).is_success
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute(
            "update public.staff set active = false where user_id = $1", MANAGER.uid
        )
        for method, path, body in calls:
            response = await http.request(method, path, json=body, headers=headers)
            assert_problem(response, 403, "staff-inactive")
    finally:
        await connection.execute(
            "update public.staff set active = true where user_id = $1", MANAGER.uid
        )
        await connection.close()


async def test_a_token_of_the_wrong_project_key_is_a_service_problem(settings, sign_in):
    """A service configured with a wrong key says so: it is not the caller's fault."""
    from pydantic import SecretStr

    from tests.support.crm import running_app

    wrong = settings.model_copy(update={"supabase_key": SecretStr("sb_publishable_wrong")})
    async with running_app(wrong) as (_, client):
        headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
        response = await client.get("/v1/customers", headers=headers)
    problem = assert_problem(response, 503, "database-contract")
    assert "SUPABASE_PUBLISHABLE_KEY" in problem["detail"]


async def test_readiness_against_the_real_stack(http):
    """Ready means PostgREST, schema and keys."""
    assert (await http.get("/ready")).json() == {"status": "ready"}


async def test_a_stack_that_does_not_run_is_503(sign_in):
    """Connection refused: one clear answer with Retry-After."""
    import socket

    from crm_service.settings import Settings
    from tests.support.crm import HS256_SECRET, running_app, sign_hs256

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        settings = Settings(
            _env_file=None, supabase_url=url, supabase_key="k", jwt_secret=HS256_SECRET
        )
        token = sign_hs256(iss=f"{url}/auth/v1")
        async with running_app(settings) as (_, client):
            headers = {"Authorization": f"Bearer {token}"}
            response = await client.get("/v1/customers", headers=headers)
            assert_problem(response, 503, "database-unavailable")
            assert response.headers["retry-after"] == "2"
            assert_problem(await client.get("/ready"), 503, "database-unavailable")
