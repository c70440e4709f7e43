"""Handshake, credentials, heartbeats and malformed frames."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from local_stack.keys import ProjectKeys
from local_stack.realtime import RealtimeConfig
from tests.spec.realtime.harness import Project, running_project

FIELDS = "Fields `role` and `exp` are required in JWT"


async def refusal(project: Project, **params: str) -> tuple[int, object]:
    with pytest.raises(InvalidStatus) as caught:
        await connect(project.url(**params))
    body = caught.value.response.body
    return caught.value.response.status_code, json.loads(body) if body else None


@pytest.mark.spec("RT-1")
async def test_a_connection_without_vsn_speaks_version_1(project: Project) -> None:
    async with connect(project.url(apikey=project.keys.anon)) as socket:
        await socket.send('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}')
        assert json.loads(await socket.recv())["event"] == "phx_reply"


@pytest.mark.spec("RT-2")
@pytest.mark.parametrize("vsn", ["3.0.0", "abc"])
async def test_an_unknown_version_is_refused_with_403(project: Project, vsn: str) -> None:
    assert await refusal(project, apikey=project.keys.anon, vsn=vsn) == (403, None)


@pytest.mark.spec("RT-3")
async def test_a_connection_without_key_is_refused(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    assert await refusal(project) == (401, {"error": "API key is missing"})
    await (await project.connect()).fence()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.spec("RT-4")
async def test_the_key_header_wins_over_the_parameter(project: Project) -> None:
    client = await project.connect(
        key="garbage", additional_headers={"x-api-key": project.keys.anon}
    )
    await client.fence()


@pytest.mark.spec("RT-5")
async def test_expired_and_foreign_keys_are_told_apart(project: Project) -> None:
    expired = project.token(lifetime_s=-5)
    assert await refusal(project, apikey=expired) == (401, {"error": "Token has expired"})
    foreign = ProjectKeys.generate().anon
    assert await refusal(project, apikey=foreign) == (
        401,
        {"error": "Failed to validate JWT signature"},
    )


@pytest.mark.spec("RT-6")
@pytest.mark.parametrize("claims", [{"role": "anon"}, {"exp": 4102444800}])
async def test_a_key_without_role_or_exp_is_refused(
    project: Project, claims: dict[str, object]
) -> None:
    token = jwt.encode(claims, project.keys.jwt_secret, algorithm="HS256")
    assert await refusal(project, apikey=token) == (401, {"error": FIELDS})


@pytest.mark.spec("RT-7")
async def test_garbage_is_no_jwt(project: Project) -> None:
    assert await refusal(project, apikey="garbage") == (
        401,
        {"error": "The token provided is not a valid JWT"},
    )


@pytest.mark.spec("RT-8")
async def test_new_style_keys_connect(project: Project) -> None:
    for key in (project.keys.publishable, project.keys.secret):
        client = await project.connect(key=key)
        assert (await client.join("realtime:x"))["status"] == "ok"


@pytest.mark.spec("RT-9")
async def test_hmac_with_unknown_kid_uses_the_project_secret(project: Project) -> None:
    claims = {"role": "anon", "exp": int(time.time()) + 60}
    token = jwt.encode(
        claims, project.keys.jwt_secret, algorithm="HS256", headers={"kid": "unknown"}
    )
    await (await project.connect(key=token)).fence()
    await (await project.connect(key=project.token())).fence()  # the signing key: ES256 by JWKS


@pytest.mark.spec("RT-10")
async def test_an_unknown_kid_is_named(project: Project) -> None:
    other = ProjectKeys.generate()
    token = jwt.encode(
        {"role": "anon", "exp": int(time.time()) + 60},
        other.signing_keys[0].private_key(),
        algorithm="ES256",
        headers={"kid": "nobody"},
    )
    status, body = await refusal(project, apikey=token)
    assert status == 401
    assert 'key ID (kid) "nobody"' in body["error"]  # type: ignore[index]


@pytest.mark.spec("RT-11")
@pytest.mark.parametrize("ref", [None, "7"])
async def test_a_heartbeat_is_answered_with_its_ref(project: Project, ref: str | None) -> None:
    client = await project.connect()
    assert await client.call("phoenix", "heartbeat", {}, ref=ref) == {
        "status": "ok",
        "response": {},
    }


@pytest.mark.spec("RT-12")
@pytest.mark.parametrize("project", [RealtimeConfig(idle_timeout_s=0.3)], indirect=True)
async def test_a_silent_socket_is_closed_and_a_ping_keeps_it(project: Project) -> None:
    silent = await project.connect(ping_interval=None)
    pinging = await project.connect(ping_interval=0.05)
    assert await silent.closed() == 1000
    await pinging.fence()
    assert pinging.close_code is None


@pytest.mark.spec("RT-13")
@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_malformed_frames_are_ignored(project: Project, version: str) -> None:
    client = await project.connect(version)
    for text in ("not json", "[]", "{}", "", '{"topic":1,"event":2,"payload":{},"ref":null}'):
        await client.connection.send(text)
    await client.connection.send(b"\xff\x00")
    await client.fence()
    assert client.frames == []


@pytest.mark.spec("RT-14")
async def test_a_frame_over_five_megabytes_closes_with_1009(project: Project) -> None:
    client = await project.connect()
    with contextlib.suppress(ConnectionClosed):  # the server may close while it is being sent
        await client.connection.send("x" * 5_100_000)
    assert await client.closed() == 1009


@pytest.mark.spec("RT-9")
async def test_an_rs256_token_verifies_by_the_key_set(
    bare_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the project did not make itself: an RSA key in the key set, found by its kid."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = {**json.loads(RSAAlgorithm.to_jwk(private.public_key())), "kid": "rsa-1", "alg": "RS256"}
    keys = ProjectKeys.generate()
    known = keys.verification_jwks()
    monkeypatch.setattr(ProjectKeys, "verification_jwks", lambda _self: [*known, jwk])
    claims = {"role": "anon", "exp": int(time.time()) + 60}

    def token(key: rsa.RSAPrivateKey) -> str:
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "rsa-1"})

    urls = bare_database.admin_url, bare_database.url
    async with running_project(*urls, keys=keys) as project:
        client = await project.connect(key=token(private))
        assert (await client.join("realtime:r", token=token(private)))["status"] == "ok"
        foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert await refusal(project, apikey=token(foreign)) == (
            401,
            {"error": "Failed to validate JWT signature"},
        )
