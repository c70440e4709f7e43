"""What the project's address answers: the key, Auth, the feed's calls, public channels."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from portalctl.database.target import LOOPBACK
from portalctl.doctor.finding import Finding, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 10.0
JWT_PARTS = 3  # header, claims, signature
_RENEW_ADVICE = "Use the publishable key (sb_publishable_… or the anon key); renew the other one."
# A scope of nobody: the call is refused before it looks for it.
_PROBE_SCOPE = f"customer:{uuid.UUID(int=0)}"


def judge_key(key: str) -> Finding:
    """Judge which kind of key this is; only its form is looked at."""
    subject = "API key"
    if key.startswith("sb_secret_") or _role_of(key) == "service_role":
        return problem(subject, "This is a secret key: it passes every policy.", _RENEW_ADVICE)
    if key.startswith("sb_publishable_"):
        return ok(subject, "A publishable key.")
    if _role_of(key) == "anon":
        return ok(subject, "A legacy anon key.")
    return problem(
        subject,
        "This is neither a publishable key nor an anon key.",
        "Copy it from the project's API settings, or from `portalctl env`.",
    )


def _role_of(key: str) -> str | None:
    """Return the role claim of a legacy key, None for anything else."""
    parts = key.split(".")
    if len(parts) != JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    role = claims.get("role") if isinstance(claims, dict) else None
    return role if isinstance(role, str) else None


def shown_host(url: str) -> str:
    """Return host and port of an address, without a password that somebody put into it."""
    return urlsplit(url).netloc.rpartition("@")[2]


async def check_endpoints(url: str, key: str) -> list[Finding]:
    """Ask Auth, the feed's calls and Realtime, without a user."""
    headers = {"apikey": key}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S) as client:
        try:
            reached = await _auth(client)
        except httpx.HTTPError as error:
            return [
                problem(
                    "address",
                    f"No answer from {shown_host(url)} ({type(error).__name__}).",
                    "Check SUPABASE_URL, and that the project runs.",
                )
            ]
        findings = [reached, await _feed_call(client)]
    findings.append(await check_public_channels(url, key))
    return findings


async def _auth(client: httpx.AsyncClient) -> Finding:
    answer = await client.get("/auth/v1/settings")
    if answer.status_code == HTTPStatus.OK and isinstance(json_of(answer), dict):
        return ok("Auth", "Answers, and takes the key.")
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return problem(
            "Auth", "The key was refused.", "Take URL and key from the same project's settings."
        )
    return problem(
        "Auth",
        f"Answered {answer.status_code}, which is not what Supabase Auth answers.",
        "SUPABASE_URL is the project's address, without a path: https://<ref>.supabase.co",
    )


async def _feed_call(client: httpx.AsyncClient) -> Finding:
    subject = "REST"
    try:
        answer = await client.post("/rest/v1/rpc/portal_head", json={"scope": _PROBE_SCOPE})
    except httpx.HTTPError as error:
        return problem(subject, f"No answer ({type(error).__name__}).", "Look at PostgREST's log.")
    body = json_of(answer)
    code = body.get("code") if isinstance(body, dict) else None
    if code == "42501":
        return ok(subject, "portal_head is there and refuses a caller without a user.")
    if code == "PGRST202":
        return problem(
            subject,
            "portal_head is not known.",
            "Apply the migrations (`portalctl db push`); if they are, "
            "run `notify pgrst, 'reload schema';`.",
        )
    if answer.is_success:
        return problem(
            subject,
            "portal_head answers a caller without a user.",
            "Compare grants with `portalctl rls check`.",
        )
    return problem(
        subject, f"Answered {answer.status_code} {code or ''}.".replace(" .", "."),
        "Look at PostgREST's log.",
    )  # fmt: skip


async def check_public_channels(url: str, key: str) -> Finding:
    """Join a public channel with the key alone: outside of development that is to be refused."""
    subject = "public channels"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reply = await _join_public(url, key)
    except (OSError, TimeoutError, ValueError, WebSocketException) as error:
        return problem(
            subject,
            f"No conversation with Realtime ({type(error).__name__}).",
            "Check that Realtime runs, and that a proxy in front of it lets websockets through.",
        )
    if reply.get("status") == "ok":
        if urlsplit(url).hostname in LOOPBACK:
            return ok(subject, "Open, as on every stack for development.")
        return warning(
            subject,
            "Anybody with the publishable key may join public channels.",
            'Switch "Allow public access" off in the Realtime settings; nothing here needs it.',
        )
    return ok(subject, "Refused; private channels only.")


async def _join_public(url: str, key: str) -> Mapping[str, Any]:
    """Join a public channel with the key alone and return the reply's payload."""
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    address = f"{scheme}://{parts.netloc}/realtime/v1/websocket?apikey={quote(key)}&vsn=1.0.0"
    config = {"private": False, "broadcast": {}, "presence": {"key": ""}, "postgres_changes": []}
    join = {
        "topic": f"realtime:doctor-{uuid.uuid4()}", "event": "phx_join", "ref": "1",
        "join_ref": "1", "payload": {"config": config},
    }  # fmt: skip
    async with connect(address, open_timeout=TIMEOUT_S, close_timeout=1) as socket:
        await socket.send(json.dumps(join))
        async for message in socket:
            frame = json.loads(message)
            if frame.get("event") == "phx_reply" and frame.get("ref") == "1":
                return dict(frame["payload"])
        raise ConnectionError


def json_of(answer: httpx.Response) -> object:
    """Return the body of an answer, None when it is no JSON."""
    try:
        return answer.json()
    except ValueError:
        return None
