"""A Realtime server of one test and raw clients that speak its wire format."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import asyncpg
import httpx
import uvicorn
from pydantic import ValidationError
from realtime.message import ServerMessageAdapter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.keys import ProjectKeys
from local_stack.realtime import RealtimeConfig, RealtimeServer
from local_stack.realtime.keepalive import RealtimeWebSocketProtocol
from local_stack.realtime.services import FaultSwitches
from tests.support.waiting import eventually

A = "11111111-1111-4111-8111-111111111111"
B = "22222222-2222-4222-8222-222222222222"
WAIT_S = 5.0
# A table and a room for fences: what was committed before has been delivered when these arrive.
FENCE_SQL = """
create schema if not exists fence;
create table if not exists fence.posts (id bigint generated always as identity primary key);
grant usage on schema fence to anon;
grant select on fence.posts to anon;
alter publication supabase_realtime add table fence.posts;
"""
_BARE_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE"})


class SilenceError(AssertionError):
    """No matching frame came in time."""


def passes_the_python_client(text: str) -> str | None:
    """Return why the installed ``realtime`` client would drop a frame; None when it takes it."""
    try:
        ServerMessageAdapter.validate_json(text)
    except ValidationError as error:
        return str(error)
    return None


def is_known_to_be_dropped(frame: Any) -> bool:
    """Return whether the real server sends this too, although the Python client drops it."""
    event, payload = frame["event"], frame["payload"]
    if event in _BARE_CHANGES or not isinstance(frame["ref"], str | None):
        return True  # a join without config; a ref that the client sent as a number
    if event == "broadcast":
        whole = isinstance(payload, dict) and isinstance(payload.get("payload"), dict)
        return not (whole and isinstance(payload.get("event"), str))
    if event == "postgres_changes":
        return payload["data"]["commit_timestamp"] is None  # errors 400 and 401
    if event == "phx_reply":
        response = payload["response"]
        if not isinstance(response, dict):
            return True  # payload_size_exceeded
        return any(not _is_well_formed(echo) for echo in response.get("postgres_changes", []))
    return False


def _is_well_formed(binding: dict[str, Any]) -> bool:
    """Return whether a binding, echoed as it was sent, is one that the Python client could send."""
    names = [binding.get(key) for key in ("schema", "table", "filter")]
    return (
        binding.get("event") in ("*", *_BARE_CHANGES)
        and all(name is None or isinstance(name, str) for name in names)
        and isinstance(binding.get("select") or [], list)
    )


class _QuietServer(uvicorn.Server):
    """A server that leaves the test run's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class RawClient:
    """One WebSocket; every inbound frame is kept in ``log`` until a wait takes it."""

    def __init__(self, connection: ClientConnection, version: str) -> None:
        self.connection = connection
        self.version = version
        self.frames: list[Any] = []
        self.raw: list[str | bytes] = []
        self.dropped: list[str] = []
        self.kinds: set[str] = set()
        self.close_code: int | None = None
        self._refs = itertools.count(1)
        self._arrived = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for frame in self.connection:
                self.raw.append(frame)
                self.frames.append(self._parse(frame))
                self._check(frame)
                self._arrived.set()
        except ConnectionClosed:
            pass
        self.close_code = self.connection.close_code
        self._arrived.set()

    def _check(self, frame: str | bytes) -> None:
        if self.version != "1.0.0" or isinstance(frame, bytes):
            return
        parsed = self.frames[-1]
        status = parsed["payload"].get("status", "") if isinstance(parsed["payload"], dict) else ""
        self.kinds.add(f"{parsed['event']} {status}".strip())
        problem = passes_the_python_client(frame)
        if problem is not None and not is_known_to_be_dropped(parsed):
            self.dropped.append(f"{frame}: {problem}")

    def _parse(self, frame: str | bytes) -> Any:
        if isinstance(frame, bytes):
            return {"binary": frame, "topic": None, "event": "binary", "ref": None, "payload": None}
        value = json.loads(frame)
        if self.version == "1.0.0":
            return value
        names = ("join_ref", "ref", "topic", "event", "payload")
        return dict(zip(names, value, strict=True))

    async def send(
        self,
        topic: str,
        event: str,
        payload: Any,
        *,
        ref: str | None = "auto",
        join_ref: str | None = None,
    ) -> str | None:
        ref = str(next(self._refs)) if ref == "auto" else ref
        if self.version == "1.0.0":
            message: Any = {"topic": topic, "event": event, "payload": payload, "ref": ref}
            if join_ref is not None:
                message["join_ref"] = join_ref
        else:
            message = [join_ref, ref, topic, event, payload]
        await self.connection.send(json.dumps(message))
        return ref

    async def join(
        self,
        topic: str,
        *,
        token: str | None = None,
        legacy: bool = False,
        wait: bool = True,
        **config: Any,
    ) -> Any:
        """Join and return the reply's payload (or the ref when not waiting)."""
        payload: dict[str, Any] = {} if legacy else {"config": config}
        if token is not None:
            payload["access_token"] = token
        ref = str(next(self._refs))
        await self.send(topic, "phx_join", payload, ref=ref, join_ref=ref)
        if not wait:
            return ref
        frame = await self.reply(ref)
        return {**frame["payload"], "join_ref": ref}

    async def reply(self, ref: str | None, timeout_s: float | None = None) -> Any:
        return await self.frame(
            lambda f: f["event"] == "phx_reply" and f["ref"] == ref, timeout_s=timeout_s
        )

    async def call(self, topic: str, event: str, payload: Any, **options: Any) -> Any:
        ref = await self.send(topic, event, payload, **options)
        return (await self.reply(ref))["payload"]

    async def event(
        self, event: str, timeout_s: float | None = None, topic: str | None = None
    ) -> Any:
        return await self.frame(
            lambda f: f["event"] == event and topic in (None, f["topic"]), timeout_s=timeout_s
        )

    async def system(self, timeout_s: float | None = None) -> Any:
        return (await self.event("system", timeout_s))["payload"]

    async def change(self, timeout_s: float | None = None) -> Any:
        return (await self.event("postgres_changes", timeout_s))["payload"]

    async def frame(self, matches: Callable[[Any], bool], timeout_s: float | None = None) -> Any:
        """Take the first frame that matches out of the log."""
        deadline = time.monotonic() + (WAIT_S if timeout_s is None else timeout_s)
        while True:
            for index, frame in enumerate(self.frames):
                if matches(frame):
                    return self.frames.pop(index)
            if self.close_code is not None:
                raise SilenceError(f"closed with {self.close_code}; frames: {self.frames}")
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), deadline - time.monotonic())
            except TimeoutError:
                raise SilenceError(f"no such frame; frames: {self.frames}") from None

    async def fence(self) -> None:
        """Wait until the server has handled everything sent before on this socket."""
        ref = await self.send("phoenix", "heartbeat", {}, ref=f"fence{next(self._refs)}")
        await self.reply(ref)

    async def closed(self, timeout_s: float | None = None) -> int | None:
        """Wait for the close and return its code."""
        await asyncio.wait_for(asyncio.shield(self._reader), timeout_s)
        return self.close_code

    def pending(self, event: str) -> list[Any]:
        """Return the frames of that name that nobody has taken."""
        return [frame for frame in self.frames if frame["event"] == event]

    async def close(self) -> None:
        await self.connection.close()
        await asyncio.gather(self._reader, return_exceptions=True)


class Project:
    """One server, its keys and clients, and a connection to its database as the owner."""

    def __init__(
        self,
        server: RealtimeServer,
        keys: ProjectKeys,
        port: int,
        db: asyncpg.Connection[Any],
        faults: FaultSwitches,
    ) -> None:
        self.server = server
        self.keys = keys
        self.db = db
        self.faults = faults
        self.http_url = f"http://127.0.0.1:{port}/realtime/v1"
        self.ws_url = f"ws://127.0.0.1:{port}/realtime/v1"
        self.issuer = TokenIssuer(keys)
        self.clients: list[RawClient] = []
        self._fence: RawClient | None = None

    def token(self, sub: str = A, role: str = "authenticated", lifetime_s: float = 3600) -> str:
        return self.issuer.issue({"sub": sub, "role": role}, lifetime_s)

    def url(self, **params: str) -> str:
        return f"{self.ws_url}/websocket?{urlencode(params)}"

    async def connect(
        self, version: str = "1.0.0", key: str | None = None, **options: Any
    ) -> RawClient:
        url = self.url(apikey=self.keys.anon if key is None else key, vsn=version)
        connection = await connect(url, max_size=None, compression=None, **options)
        client = RawClient(connection, version)
        self.clients.append(client)
        return client

    async def joined(
        self, topic: str, version: str = "1.0.0", token: str | None = None, **config: Any
    ) -> RawClient:
        """Return a client that has joined one topic."""
        client = await self.connect(version)
        reply = await client.join(topic, token=token, **config)
        assert reply["status"] == "ok", reply
        return client

    async def listening(
        self, binding: dict[str, Any], token: str | None = None, **config: Any
    ) -> RawClient:
        """Return a client whose table subscription is live."""
        client = await self.joined(
            "realtime:changes", token=token, postgres_changes=[binding], **config
        )
        assert (await client.system())["status"] == "ok"
        return client

    async def fence(self, *clients: RawClient) -> None:
        """Wait until everything committed or sent before has reached these clients.

        Changes and SQL broadcasts are delivered in commit order, so a change and a broadcast of our
        own that arrive prove that the earlier ones are written; a heartbeat on each socket proves
        that they are read.
        """
        if self._fence is None:
            self._fence = await self.joined(
                "realtime:fence", postgres_changes=[{"schema": "fence", "table": "posts"}]
            )
            assert (await self._fence.system())["status"] == "ok"
        await self.db.execute(
            "insert into fence.posts default values;"
            "select realtime.send('{}', 'fence', 'fence', false)"
        )
        await self._fence.change()
        await self._fence.event("broadcast")
        for client in clients:
            await client.fence()

    async def post(
        self, path: str, *, key: str | None = None, headers: Any = None, **options: Any
    ) -> httpx.Response:
        given = {"apikey": self.keys.anon if key is None else key, **(headers or {})}
        async with httpx.AsyncClient() as http:
            return await http.post(f"{self.http_url}{path}", headers=given, **options)


@asynccontextmanager
async def running_project(
    admin_url: str,
    url: str,
    config: RealtimeConfig | None = None,
    keys: ProjectKeys | None = None,
) -> AsyncIterator[Project]:
    keys = keys or ProjectKeys.generate()
    faults = FaultSwitches()
    # Tests publish tables when they like; only those that are about noticing it have it noticed.
    config = config or RealtimeConfig()
    if config.publication_check_s == RealtimeConfig().publication_check_s:
        config = replace(config, publication_check_s=3600.0)
    server = RealtimeServer(config, TokenVerifier(keys), admin_url, faults)
    db = await asyncpg.connect(url)
    await db.execute(FENCE_SQL)

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await server.app({**scope, "root_path": "/realtime/v1"}, receive, send)

    web = _QuietServer(
        uvicorn.Config(
            mounted,
            host="127.0.0.1",
            port=0,
            log_level="error",
            lifespan="off",
            ws=RealtimeWebSocketProtocol,
            ws_max_size=5_000_000,
            ws_per_message_deflate=False,
        )
    )
    await server.start()
    serving = asyncio.create_task(web.serve())
    await eventually(lambda: web.started)
    port = web.servers[0].sockets[0].getsockname()[1]
    project = Project(server, keys, port, db, faults)
    try:
        yield project
    finally:
        for client in project.clients:
            await client.close()
        await project.db.close()
        await server.stop()
        web.should_exit = True
        await serving
    dropped = [problem for client in project.clients for problem in client.dropped]
    assert not dropped, "frames that the Python client would drop:\n" + "\n".join(dropped)
