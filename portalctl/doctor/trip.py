"""A live round trip as one customer: sign in, join, commit a ring, hear it, ask the feed.

The ring goes to a topic of the doctor's own below the customer's, so no portal hears it; all that
is written are the rings' rows in realtime.messages, which Realtime deletes after some days.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx

from portal_sdk import PasswordAuth, PortalError
from portal_sdk.realtime import RealtimeClient
from portalctl.doctor.endpoint import TIMEOUT_S, json_of
from portalctl.doctor.finding import Finding, ok, problem, skipped

if TYPE_CHECKING:
    from portalctl.database.target import Connection

TRIPS = 20
SLOW_MS = 250.0
_RING = "select realtime.send(jsonb_build_object('ring', $1::text), 'doctor', $2, true)"


async def check_round_trip(
    url: str, key: str, login: tuple[str, str], connection: Connection | None
) -> list[Finding]:
    """Sign in as a customer and measure both paths that a portal depends on.

    Args:
        url: The project URL.
        key: The publishable key.
        login: E-mail and password of a portal user.
        connection: The database, to commit a ring; without it only the feed's call is measured.
    """
    try:
        async with RealtimeClient(url, key, auth=PasswordAuth(*login)) as client:
            return await _trips(url, key, client, connection)
    except PortalError as error:
        return [problem("sign-in", f"{error}.", "Is this a portal user of this project?")]
    except httpx.HTTPError as error:
        text = f"No answer to a signed-in customer ({type(error).__name__})."
        return [problem("REST", text, "Look at PostgREST's log.")]


async def _trips(
    url: str, key: str, client: RealtimeClient, connection: Connection | None
) -> list[Finding]:
    headers = {"apikey": key, "Authorization": f"Bearer {client.access_token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S) as http:
        customer = await _own_customer(http)
        if customer is None:
            text = "The login belongs to no customer, or to staff."
            return [skipped("round trip", text, "Name a portal user with --email.")]
        scope = f"customer:{customer}"
        findings = [ok("sign-in", "Works."), await _feed_latency(http, scope)]
    if connection is None:
        text = "Nobody can ring: no database is named."
        return [*findings, skipped("doorbell", text, "Name one with --db-url.")]
    return [*findings, await _doorbell(client, connection, scope)]


async def _own_customer(http: httpx.AsyncClient) -> str | None:
    answer = await http.get("/rest/v1/customers", params={"select": "id", "limit": "2"})
    rows = json_of(answer) if answer.is_success else None
    return str(rows[0]["id"]) if isinstance(rows, list) and len(rows) == 1 else None


async def _feed_latency(http: httpx.AsyncClient, scope: str) -> Finding:
    times_ms: list[float] = []
    for _ in range(TRIPS):
        started = time.perf_counter()
        answer = await http.post("/rest/v1/rpc/portal_head", json={"scope": scope})
        times_ms.append((time.perf_counter() - started) * 1000)
        if not answer.is_success:
            return problem(
                "feed",
                f"portal_head answered {answer.status_code} to its own customer.",
                "Compare policies with `portalctl rls check`.",
            )
    return _measured("feed", "portal_head", times_ms)


async def _doorbell(client: RealtimeClient, connection: Connection, scope: str) -> Finding:
    subject = "doorbell"
    topic = f"{scope}:doctor"
    try:
        async with client.broadcast(topic) as room:
            rings = room.events("doctor")
            times_ms = [await _ring(connection, topic, rings) for _ in range(TRIPS)]
    except TimeoutError:
        return problem(
            subject,
            f"A ring was committed and not heard within {TIMEOUT_S:g} s.",
            "Look at Realtime's log; is realtime.messages partitioned for today, "
            "and is a replication slot free?",
        )
    except PortalError as error:
        return problem(
            subject,
            f"The private channel cannot be joined: {error}.",
            "Compare the policies on realtime.messages with `portalctl rls check`.",
        )
    except asyncpg.PostgresError as error:
        return problem(
            subject,
            f"realtime.send answered [{error.sqlstate}].",
            "Connect as postgres; its warnings are in PostgreSQL's log.",
        )
    return _measured(subject, "commit → private channel", times_ms)


async def _ring(connection: Connection, topic: str, rings: Any) -> float:
    """Commit one ring and return the milliseconds until it is heard."""
    token = str(uuid.uuid4())
    await connection.execute(_RING, token, topic)
    started = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S):
        while (await anext(rings)).payload.get("ring") != token:
            pass
    return (time.perf_counter() - started) * 1000


def _measured(subject: str, what: str, times_ms: list[float]) -> Finding:
    times_ms.sort()
    median = times_ms[len(times_ms) // 2]
    text = f"{what}: median {median:.1f} ms, slowest {times_ms[-1]:.1f} ms of {len(times_ms)}."
    if median > SLOW_MS:
        text += " That is slow: look at the load and the distance of the project."
    return ok(subject, text, round(median, 2))
