"""Roles, tokens, row level security, and what SQL can read about the request."""

import asyncio

import pytest


async def test_settings_describe_the_request(http):
    response = await http.get(
        "/rpc/who", headers={"X-Custom": "yes", "Cookie": "a=1; b=c%20d", "Prefer": "count=exact"}
    )
    seen = response.json()
    assert seen["role"] == "authenticated"
    assert seen["claims"]["sub"] == "jo"
    assert seen["claims"]["role"] == "authenticated"
    assert seen["headers"]["x-custom"] == "yes"
    assert "cookie" not in seen["headers"]
    assert seen["cookies"] == {"a": "1", "b": "c d"}
    assert (seen["method"], seen["path"]) == ("GET", "/rpc/who")
    assert seen["search_path"] == '"public", "extensions"'
    assert seen["read_only"] == "on"
    assert seen["timeout"] == "8s"


async def test_rows_are_filtered_for_the_caller(rest):
    async with rest.client(sub="jo") as jo, rest.client(sub="al") as al:
        assert [row["id"] for row in (await jo.get("/secrets")).json()] == [1]
        assert [row["id"] for row in (await al.get("/secrets")).json()] == [2]
        stolen = await al.patch("/secrets?id=eq.1", json={"note": "x"})
        assert (stolen.status_code, stolen.headers["content-range"]) == (204, "*/*")
    async with rest.client("service_role") as service:
        assert len((await service.get("/secrets")).json()) == 2


async def test_identities_never_mix_on_shared_connections(rest):
    async def one(http, expected):
        for _ in range(10):
            rows = (await http.get("/secrets?select=owner")).json()
            assert rows == expected

    async with rest.client(sub="jo") as jo, rest.client(sub="al") as al, rest.client(None) as anon:

        async def denied():
            for _ in range(10):
                assert (await anon.get("/secrets")).status_code == 401

        work = [one(jo, [{"owner": "jo"}]) for _ in range(8)]
        work += [one(al, [{"owner": "al"}]) for _ in range(8)]
        await asyncio.gather(*work, *(denied() for _ in range(4)))


async def test_without_a_token_the_role_is_anon(anonymous):
    assert (await anonymous.get("/rpc/who")).json()["claims"] == {"role": "anon"}
    assert len((await anonymous.get("/clients")).json()) == 3
    denied = await anonymous.get("/secrets")
    assert (denied.status_code, denied.json()["code"]) == (401, "42501")
    assert denied.headers["www-authenticate"] == "Bearer"


async def test_a_role_without_the_right_gets_403(http, rest):
    await rest.sql("revoke all on public.badges from authenticated")
    try:
        denied = await http.get("/badges")
        assert (denied.status_code, denied.json()["code"]) == (403, "42501")
        assert denied.json()["message"] == "permission denied for table badges"
    finally:
        await rest.sql("grant all on public.badges to authenticated")


async def test_api_keys_stand_for_their_role(rest):
    async with rest.client(None) as http:
        for key, role in (
            (rest.keys.publishable, "anon"),
            (rest.keys.secret, "service_role"),
            (rest.keys.anon, "anon"),
            (rest.keys.service_role, "service_role"),
        ):
            response = await http.get("/rpc/who", headers={"Authorization": f"Bearer {key}"})
            assert response.json()["role"] == role
        unknown = await http.get("/clients", headers={"Authorization": "Bearer sb_secret_nope"})
        assert (unknown.status_code, unknown.json()["code"]) == (401, "PGRST301")


async def test_expired_tokens_are_401(rest):
    async with rest.client(None) as http:
        token = rest.token(lifetime_s=-60)
        response = await http.get("/clients", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 401
    assert response.json() == {
        "code": "PGRST303",
        "message": "JWT expired",
        "details": None,
        "hint": None,
    }
    assert response.headers["www-authenticate"] == (
        'Bearer error="invalid_token", error_description="JWT expired"'
    )


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("a.b", "Expected 3 parts in JWT; got 2"),
        ("a.b.c", "JWT couldn't be decoded"),
    ],
)
async def test_malformed_tokens_are_401(anonymous, token, message):
    response = await anonymous.get("/clients", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 401
    assert (response.json()["code"], response.json()["message"]) == ("PGRST301", message)


async def test_a_forged_signature_is_401(rest, anonymous):
    head, payload, signature = rest.token().split(".")
    forged = f"{head}.{payload}.{'A' * len(signature)}"
    response = await anonymous.get("/clients", headers={"Authorization": f"Bearer {forged}"})
    assert response.status_code == 401
    assert response.json()["message"] == "No suitable key or wrong key type"


async def test_roles_that_may_not_be_taken_are_refused(rest):
    async with rest.client("postgres") as http:
        owner = await http.get("/clients")
        assert (owner.status_code, owner.json()["code"]) == (403, "42501")
    async with rest.client("nobody_knows") as http:
        unknown = await http.get("/clients")
        assert (unknown.status_code, unknown.json()["code"]) == (401, "22023")
