"""The Realtime server: handshakes, routes, and the life of everything behind them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket

from local_stack.auth.tokens import TokenError, TokenVerifier
from local_stack.realtime import broadcast
from local_stack.realtime.authorization import Authorizer
from local_stack.realtime.changes.service import ChangesService
from local_stack.realtime.config import RealtimeConfig
from local_stack.realtime.database import Database
from local_stack.realtime.errors import (
    ConnectRefusedError,
    UnsupportedServerError,
    render_token_error,
)
from local_stack.realtime.http_api import HttpApi
from local_stack.realtime.limits import RateCounter
from local_stack.realtime.outlet import settle_refusal
from local_stack.realtime.presence import PresenceRooms
from local_stack.realtime.replay import Replayer
from local_stack.realtime.rooms import RoomKey, Rooms
from local_stack.realtime.services import Counters, FaultSwitches, RealtimeFaults, Services, Tasks
from local_stack.realtime.socket import Socket, Tenant
from local_stack.realtime.wire import Version

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from local_stack.realtime.changes.reader import Row

log = logging.getLogger(__name__)

_CLOSE_RESTART = 1012
_STOP_TIMEOUT_S = 2.0
_SOCKET_PATHS = frozenset({"/websocket", "/socket/websocket"})


class RealtimeServer:
    """An ASGI application with ``start`` and ``stop``; both in the loop that serves ``app``.

    Args:
        config: limits and durations.
        verifier: decides about tokens and keys.
        dsn_admin: connection URL of a superuser: row level security is asked on behalf of others.
        faults: switches for tests; None has all off.
    """

    def __init__(
        self,
        config: RealtimeConfig,
        verifier: TokenVerifier,
        dsn_admin: str,
        faults: RealtimeFaults | None = None,
    ) -> None:
        self._config = config
        self._database = Database(
            dsn_admin, size=config.pool_size, timeout_s=config.database_timeout_s
        )
        self._rooms = Rooms()
        self._faults = FaultSwitches() if faults is None else faults
        self._sockets: dict[Socket, asyncio.Task[object] | None] = {}
        counters = Counters(
            events=RateCounter(config.max_events_per_second),
            presence=RateCounter(config.max_presence_events_per_second),
            joins=RateCounter(config.max_joins_per_second),
            changes=RateCounter(config.max_events_per_second),
        )
        tasks = Tasks()
        changes = ChangesService(
            config,
            self._database,
            dsn_admin,
            tasks=tasks,
            rate=counters.changes,
            on_row=self._broadcast_row,
        )
        self._services = Services(
            config=config,
            verifier=verifier,
            faults=self._faults,
            rooms=self._rooms,
            presence=PresenceRooms(),
            authorizer=Authorizer(self._database),
            changes=changes,
            replayer=Replayer(self._database),
            counters=counters,
            tasks=tasks,
        )
        api = HttpApi(self._services)
        self._http = Starlette(
            routes=[
                Route("/api/ping", api.ping),
                Route("/api/broadcast", api.batch, methods=["POST"]),
                Route("/api/broadcast/{names:path}", api.single, methods=["POST"]),
                Route("/healthcheck", _healthcheck),
            ],
            exception_handlers={405: _not_found},
        )

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket; the ASGI application.

        WebSockets do not pass through Starlette, whose middleware would wrap ``send``.
        """
        if scope["type"] != "websocket":
            await self._http(scope, receive, send)
        elif scope["path"].removeprefix(scope.get("root_path", "")) in _SOCKET_PATHS:
            await self._serve(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1000})  # before accept: HTTP 403

    async def start(self) -> None:
        """Start streaming changes; returns once the stream is up, or after the database timeout."""
        self._services.changes.start()
        await self._services.changes.wait_streaming(self._config.database_timeout_s)

    @property
    def background_tasks(self) -> Collection[asyncio.Task[None]]:
        """Tasks that run from ``start`` to ``stop``; one that ends before is a fault."""
        return self._services.changes.background_tasks

    async def stop(self) -> None:
        """Refuse joins, close every socket with 1012, end all background work."""
        self._services.is_stopping = True
        for socket in tuple(self._sockets):
            socket.close(_CLOSE_RESTART)
        running = [task for task in self._sockets.values() if task is not None]
        if running:
            await asyncio.wait(running, timeout=_STOP_TIMEOUT_S)
        for socket, task in tuple(self._sockets.items()):
            socket.abort()
            if task is not None:
                task.cancel()  # it may be waiting for the database on behalf of its client
        await self._services.tasks.close()
        await self._database.close()

    # for tests and faults ------------------------------------------------------------

    def drop_sockets(self, code: int | None = None) -> int:
        """End every socket: with a close frame of that code, or abruptly when None.

        Returns:
            How many sockets there were. Must be called in the server's loop.
        """
        for socket in tuple(self._sockets):
            if code is None:
                socket.abort()
            else:
                socket.close(code)
        return len(self._sockets)

    @property
    def socket_count(self) -> int:
        """How many sockets are open."""
        return len(self._sockets)

    @property
    def is_streaming(self) -> bool:
        """Whether changes of the database arrive now."""
        return self._services.changes.is_streaming

    # sockets ------------------------------------------------------------

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        try:
            version = _parse_version(websocket)
            tenant = self._admit(websocket)
            socket = Socket(
                self._services,
                receive,
                send,
                version=version,
                tenant=tenant,
                headers={k: v for k, v in websocket.headers.items() if k.startswith("x-")},
            )
        except (ConnectRefusedError, UnsupportedServerError) as error:
            await asyncio.sleep(self._config.connect_error_delay_s)
            await websocket.send_denial_response(_refusal(error))
            settle_refusal(send)
            return
        await websocket.accept()
        self._sockets[socket] = asyncio.current_task()
        try:
            await socket.run()
        except asyncio.CancelledError:
            # Cancelled by stop() alone, and uvicorn would log a stack trace for it.
            if not self._services.is_stopping:
                raise
        finally:
            del self._sockets[socket]

    def _admit(self, websocket: WebSocket) -> Tenant:
        """Return the credential of a connection, or refuse it, in the order of the real server."""
        if self._faults.refuse_connects is not None:
            raise ConnectRefusedError(self._faults.refuse_connects, "Error connecting to Realtime")
        key = websocket.headers.get("x-api-key") or websocket.query_params.get("apikey")
        if key is None:
            raise ConnectRefusedError(401, "API key is missing")
        verifier = self._services.verifier
        try:
            claims = verifier.claims_of_api_key(key)
            token = None
            if claims is None:
                token, claims = key, verifier.verify(key)
        except TokenError as error:
            text = render_token_error(error)[0]
            status = 500 if text == "Error connecting to Realtime" else 401
            raise ConnectRefusedError(status, text) from error
        limit = self._config.max_concurrent_users
        if limit is not None and len(self._services.joined_sockets) >= limit:
            raise ConnectRefusedError(429, "Too many connected users")
        if self._services.counters.joins.is_triggered(time.monotonic()):
            raise ConnectRefusedError(429, "Too many joins per second")
        return Tenant(token, claims)

    # broadcasts of the database ------------------------------------------------------------

    def _broadcast_row(self, row: Row) -> None:
        """Hand a row inserted into realtime.messages to its room, unless parts are missing."""
        if self._faults.lose_doorbells or self._faults.hang:
            return
        topic, event, message_id = row.get("topic"), row.get("event"), row.get("id")
        private, payload, binary = row.get("private"), row.get("payload"), row.get("binary_payload")
        if topic is None or event is None or message_id is None or private is None:
            log.warning("UnableToBroadcastChanges: a row lacks topic, event, private or id")
            return
        if payload is None and binary is None:
            log.warning("UnableToBroadcastChanges: a row has no payload")
            return
        data = None if binary is None else bytes.fromhex(binary.removeprefix("\\x"))
        size_bytes = len(payload.encode()) if payload is not None else len(data or b"")
        if size_bytes > self._config.max_payload_bytes:
            log.warning("UnableToBroadcastChanges: the payload is too large")
            return
        counter = self._services.counters.events
        now_s = time.monotonic()
        counter.add(now_s)
        if counter.is_triggered(now_s):
            return
        room = RoomKey(topic, private == "t")
        if self._rooms.is_empty(room):
            return
        push = broadcast.push_of_row(room, event, message_id, payload_json=payload, data=data)
        self._rooms.broadcast(room, push, message_id=message_id)


async def _not_found(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("Not Found", 404)  # the real server knows paths by their method


async def _healthcheck(_request: Request) -> Response:
    return PlainTextResponse("ok")


def _parse_version(websocket: WebSocket) -> Version:
    text = websocket.query_params.get("vsn", "1.0.0")
    parts = text.split(".")
    if len(parts) == 3 and all(part.isdecimal() for part in parts):
        if parts[:2] == ["1", "0"]:
            return Version.V1
        if parts[:2] == ["2", "0"]:
            return Version.V2
    raise ConnectRefusedError(403, "")


def _refusal(error: ConnectRefusedError | UnsupportedServerError) -> Response:
    if isinstance(error, UnsupportedServerError):
        log.error("%s", error)
        return JSONResponse({"error": str(error)}, 500)
    if not error.text:
        return Response(status_code=error.status)
    return JSONResponse({"error": error.text}, error.status)
