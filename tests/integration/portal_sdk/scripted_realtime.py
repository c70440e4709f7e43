"""A Supabase project whose Realtime does what the test says: one real server on loopback.

HTTP (auth and the three feed RPCs) answers from a small feed in memory, or as scripted. Each socket
is handed to the test's script; without one it joins, answers heartbeats and rings on `change`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Self
from urllib.parse import parse_qs

import uvicorn

from portal_sdk import PasswordAuth, Portal, PortalConfig
from portal_sdk._core.digest import row_hash
from tests.support.waiting import eventually

USER = "b0000000-0000-4000-8000-000000000001"
CUSTOMER = "c0000000-0000-4000-8000-000000000001"
SCOPE = f"customer:{CUSTOMER}"
TOPIC = f"realtime:{SCOPE}"
Answer = tuple[int, str, bytes]
HttpScript = Callable[[str], Answer | None]


class Socket:
    """One websocket, as the server sees it."""

    def __init__(self, receive: Any, send: Any, number: int) -> None:
        self.number = number
        self.joins: list[dict[str, Any]] = []
        self._receive = receive
        self._send = send

    async def accept(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept"})

    async def read(self) -> dict[str, Any]:
        """Return the client's next frame; raises ConnectionError when it is gone."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionError
        return json.loads(message["text"])

    async def send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def send(self, event: str, payload: Any, ref: Any = None, topic: str = TOPIC) -> None:
        frame = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        await self.send_text(json.dumps(frame))

    async def reply(self, frame: dict[str, Any], response: Any = None, status: str = "ok") -> None:
        payload = {"status": status, "response": response or {}}
        await self.send("phx_reply", payload, frame["ref"], frame["topic"])

    async def ring(self, epoch: str, n: int) -> None:
        payload = {"type": "broadcast", "event": "sync", "payload": {"epoch": epoch, "n": n}}
        await self.send("broadcast", payload)

    async def close(self, code: int = 1000) -> None:
        await self._send({"type": "websocket.close", "code": code})


SocketScript = Callable[[Socket], Awaitable[None]]


class ScriptedProject:
    """The server. Use as an async context manager.

    Attributes:
        script: Given every accepted socket; returning closes it.
        http: Asked before each HTTP request; None answers normally.
        sockets: Every socket so far.
        now_offset_s: How wrong the server's clock is, as tokens show it.
    """

    def __init__(self) -> None:
        self.url = ""
        self.script: SocketScript = self.behave
        self.http: HttpScript = lambda _path: None
        self.sockets: list[Socket] = []
        self.opened_at: list[float] = []
        self.open: set[Socket] = set()
        self.requests: list[str] = []
        self.token_life_s = 3600
        self.now_offset_s = 0.0
        self.refuse_socket: int | None = None
        self.epoch, self.n = "e", 0
        self.rows: dict[str, dict[str, Any]] = {}
        self.log: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        config = uvicorn.Config(
            self._app, interface="asgi3", lifespan="off", log_config=None, ws="websockets-sansio",
            ws_ping_interval=None, ws_per_message_deflate=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._task = asyncio.create_task(self._server.serve(sockets=[bound]))
        await eventually(lambda: self._server.started)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        await self._task

    def portal(self, **settings: Any) -> Portal:
        quick = {
            "verify_interval_s": 1.5, "heartbeat_interval_s": 0.5, "heartbeat_timeout_s": 0.5,
            "request_timeout_s": 2.0, "ring_grace_s": 0.3, "poll_interval_s": 0.2,
            "join_timeout_s": 1.0, "backoff_cap_s": 0.5, "rate_limit_wait_s": 0.5,
        }  # fmt: skip
        auth = settings.pop("auth", PasswordAuth("jo@example.com", "secret"))
        store = settings.pop("store", None)
        config = PortalConfig(**{**quick, **settings})
        return Portal(self.url, "sb_publishable_test", auth=auth, store=store, config=config)

    async def change(self, title: str, *, ring: bool = True) -> None:
        """Commit one change of the one job, and ring on every joined socket."""
        self.n += 1
        row = {
            "id": str(uuid.UUID(int=1)),
            "customer_id": CUSTOMER,
            "version": self.n,
            "title": title,
        }
        self.rows[row["id"]] = row
        self.log.append(
            {"n": self.n, "table": "jobs", "row_id": row["id"], "op": "upsert", "row": row,
             "version": self.n, "request_id": None, "committed_at": "2026-01-01T00:00:00+00:00"}
        )  # fmt: skip
        if ring:
            for one in list(self.open):
                if one.joins:
                    await one.ring(self.epoch, self.n)

    async def behave(self, one: Socket) -> None:
        """Do what the real server does."""
        while True:
            await self.answer(one, await one.read())

    async def answer(self, one: Socket, frame: dict[str, Any]) -> None:
        """Handle one frame as the real server does."""
        if frame["event"] == "phx_join":
            one.joins.append(frame)
            await one.reply(frame, {"postgres_changes": []})
            ok = {"status": "ok", "extension": "system", "channel": SCOPE, "message": "up"}
            await one.send("system", ok)
        elif frame["event"] == "heartbeat":
            await one.reply(frame)

    # ASGI.

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._serve_http(scope, receive, send)
            return
        if self.refuse_socket is not None:
            await receive()
            start = {"type": "websocket.http.response.start", "status": self.refuse_socket}
            await send({**start, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        one = Socket(receive, send, len(self.sockets))
        self.sockets.append(one)
        self.opened_at.append(time.monotonic())
        self.open.add(one)
        try:
            await one.accept()
            await self.script(one)
            await one.close()
        except (ConnectionError, RuntimeError):
            pass
        finally:
            self.open.discard(one)

    async def _serve_http(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["path"]
        self.requests.append(path)
        answer = self.http(path)
        if answer is None:
            answer = (200, "application/json", json.dumps(self._answer(scope, body)).encode())
        status, kind, content = answer
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, scope: Any, body: bytes) -> Any:
        path = scope["path"]
        if path == "/auth/v1/token":
            parse_qs(scope["query_string"])
            return self.token()
        if path == "/rest/v1/customers":
            return [{"id": CUSTOMER}]
        common = {"scope": SCOPE, "epoch": self.epoch, "n": self.n, "floor": 0,
                  "now": "2026-01-01T00:00:00+00:00"}  # fmt: skip
        if path.endswith("portal_snapshot"):
            return common | {"tables": {"jobs": list(self.rows.values())}, "digest": self._digest()}
        if path.endswith("portal_head"):
            return common | {"digest": self._digest()}
        after_n = json.loads(body)["after_n"]
        changes = [entry for entry in self.log if entry["n"] > after_n]
        return common | {"must_resync": False, "reason": None, "changes": changes}

    def token(self) -> dict[str, Any]:
        """Return a session whose token is as right as this server's clock."""
        issued_at = time.time() + self.now_offset_s
        claims = {"sub": USER, "iat": int(issued_at), "exp": int(issued_at + self.token_life_s)}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return {
            "access_token": f"x.{payload}.{uuid.uuid4().hex}", "refresh_token": uuid.uuid4().hex,
            "expires_in": self.token_life_s, "token_type": "bearer",
        }  # fmt: skip

    def _digest(self) -> dict[str, Any]:
        bits = 0
        for row in self.rows.values():
            bits ^= row_hash(row["id"], row["version"])
        return {"jobs": {"count": len(self.rows), "hash": f"{bits:015x}"}}
