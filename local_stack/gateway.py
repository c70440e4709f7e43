"""One ASGI application in front of auth, REST and Realtime, as Supabase's gateway is.

It checks the ``apikey``, turns ``sb_`` keys into the JWT of their role, answers CORS preflights and
health checks, limits bodies, and numbers requests. Plain ASGI: each request costs one pass over its
headers and one wrapped ``send``. What the servers behind it do is theirs.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote_plus
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from local_stack.gateway_response import GatewayResponse, Refusal, limited, too_long
from local_stack.keys import ProjectKeys

_log = logging.getLogger("local_stack.gateway")

ReadyCheck: TypeAlias = Callable[[], Awaitable[bool]]

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_OPEN_AUTH_PATHS = ("/.well-known/", "/verify", "/callback", "/authorize")
_BLOCKED_REALTIME_PATHS = ("/api/tenants", "/api/openapi")
_READ_HEADERS = frozenset({
    b"apikey", b"authorization", b"origin", b"x-request-id", b"content-length",
    b"transfer-encoding", b"access-control-request-method", b"access-control-request-headers",
})  # fmt: skip


class Mounted(Protocol):
    """A server behind the gateway."""

    @property
    def app(self) -> Any:
        """Its ASGI application; it sees the full path and its prefix as ``root_path``."""
        ...


class MountedAuth(Mounted, Protocol):
    """The auth server, which also has the project's keys and knows whether the database answers."""

    @property
    def keys(self) -> ProjectKeys:
        """The project's keys."""
        ...

    async def is_ready(self) -> bool:
        """Tell whether requests can be served."""
        ...


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Limits of the gateway.

    Attributes:
        max_body_bytes: longest request body; longer ones get 413.
        max_url_bytes: longest path and query together; longer ones get 414.
        max_header_bytes: names and values of all headers together; more get 431.
        preflight_max_age_s: how long browsers may remember a CORS answer.
    """

    max_body_bytes: int = 16_000_000
    max_url_bytes: int = 32_768
    max_header_bytes: int = 65_536
    preflight_max_age_s: int = 3_600


class Gateway:
    """The ASGI application; stateless, so any number of requests may run at once."""

    def __init__(
        self,
        mounts: Mapping[str, Mounted],
        keys: ProjectKeys,
        ready: ReadyCheck,
        config: GatewayConfig,
    ) -> None:
        self._mounts = mounts
        self._keys = keys
        self._ready = ready
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket."""
        kind = scope["type"]
        if kind == "http":
            await self._serve_http(scope, receive, send)
        elif kind == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif kind == "lifespan":
            await _serve_lifespan(receive, send)

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name: value for name, value in scope["headers"] if name in _READ_HEADERS}
        request_id = headers.get(b"x-request-id", b"")
        if _REQUEST_ID.fullmatch(request_id) is None:
            request_id = str(uuid4()).encode()
            kept = [pair for pair in scope["headers"] if pair[0] != b"x-request-id"]
            scope["headers"] = [*kept, (b"x-request-id", request_id)]
        response = GatewayResponse(send, request_id, cross_origin=b"origin" in headers)
        try:
            await self._route(scope, receive, response, headers)
        except Exception:
            if response.cut:
                return
            _log.exception("unhandled failure in %s %s", scope["method"], scope["path"])
            if response.started:
                raise
            await response.refuse(
                500,
                {"message": "The server failed on this request; its log says why."},
            )

    async def _route(
        self, scope: Scope, receive: Receive, response: GatewayResponse, headers: dict[bytes, bytes]
    ) -> None:
        path: str = scope["path"]
        preflight = b"access-control-request-method" in headers and b"origin" in headers
        if preflight and scope["method"] == "OPTIONS":
            await self._answer_preflight(response, headers)
            return
        prefix = self._prefix_of(path)
        refusal = self._over_limit(scope, headers)
        if refusal is not None:
            await response.refuse(*refusal)
            return
        if prefix is None:
            await self._answer_own_path(path, response)
            return
        refusal = self._admit(scope, headers, prefix, path[len(prefix) :])
        if refusal is not None:
            await response.refuse(*refusal)
            return
        if b"transfer-encoding" in headers:
            receive = limited(receive, response, self._config.max_body_bytes)
        _enter_mount(scope, prefix)
        await self._mounts[prefix].app(scope, receive, response)

    def _prefix_of(self, path: str) -> str | None:
        for prefix in self._mounts:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}:
                return prefix
        return None

    def _over_limit(self, scope: Scope, headers: dict[bytes, bytes]) -> Refusal | None:
        """Return the refusal of a request that is too long in one of its parts."""
        config = self._config
        url_bytes = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
        if url_bytes > config.max_url_bytes:
            return 414, {
                "message": f"The path and query are longer than {config.max_url_bytes} bytes",
                "hint": "Send long filters to a function by POST, or in several requests.",
            }
        header_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        if header_bytes > config.max_header_bytes:
            return 431, {
                "message": f"The headers are longer than {config.max_header_bytes} bytes together"
            }
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > config.max_body_bytes:
            return 413, too_long(config.max_body_bytes)
        return None

    def _admit(
        self, scope: Scope, headers: dict[bytes, bytes], prefix: str, rest: str
    ) -> Refusal | None:
        """Check the API key and set Authorization; return the refusal when there is one."""
        if prefix == "/realtime/v1":
            if rest.startswith(_BLOCKED_REALTIME_PATHS):
                return 403, {"message": "This path is not open to the outside."}
            key = self._key_of(scope, headers)
            self._authorize(scope, headers, key)
            return None
        if prefix == "/auth/v1" and rest.startswith(_OPEN_AUTH_PATHS):
            return None
        key = self._key_of(scope, headers)
        if not key:
            return 401, {
                "message": "No API key found in request",
                "hint": "No `apikey` request header or url param was found.",
            }
        if not self._is_project_key(key):
            return 401, {
                "message": "Invalid API key",
                "hint": "Double check your Supabase `anon` or `service_role` API key.",
            }
        _drop_query_key(scope)
        self._authorize(scope, headers, key)
        return None

    def _key_of(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        key = headers.get(b"apikey")
        return key.decode("latin-1") if key is not None else _query_key(scope)

    def _is_project_key(self, key: str) -> bool:
        given, keys = key.encode(errors="replace"), self._keys
        known = (keys.publishable, keys.secret, keys.anon, keys.service_role)
        return any(hmac.compare_digest(given, one.encode()) for one in known)

    def _jwt_of(self, key: str) -> str | None:
        """Return the JWT that an ``sb_`` key of this project stands for."""
        given, keys = key.encode(errors="replace"), self._keys
        if hmac.compare_digest(given, keys.publishable.encode()):
            return keys.anon
        if hmac.compare_digest(given, keys.secret.encode()):
            return keys.service_role
        return None

    def _authorize(self, scope: Scope, headers: dict[bytes, bytes], key: str) -> None:
        """Put the key's JWT into Authorization unless the caller brings a token of their own."""
        if not key.startswith("sb_"):
            return
        given = headers.get(b"authorization")
        if given is not None and not given.startswith(b"Bearer sb_"):
            return
        token = self._jwt_of(key)
        if token is not None:
            _set_header(scope, b"authorization", b"Bearer " + token.encode())

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        outer, scope = scope, dict(scope)
        # Uvicorn logs the address of each handshake from its own scope when it is answered: keys
        # and tokens in the query are for the server behind alone.
        outer["query_string"] = b""
        prefix = self._prefix_of(scope["path"])
        if prefix != "/realtime/v1":
            await receive()
            await send({"type": "websocket.close", "code": 1000})  # before accept: HTTP 403
            return
        token = self._jwt_of(_query_key(scope))
        if token is not None:
            _set_header(scope, b"x-api-key", token.encode())
            _drop_query_key(scope)
            query: bytes = scope["query_string"]
            scope["query_string"] = (query + b"&" if query else b"") + f"apikey={token}".encode()
        _enter_mount(scope, prefix)
        await self._mounts[prefix].app(scope, receive, send)

    async def _answer_preflight(
        self, response: GatewayResponse, headers: dict[bytes, bytes]
    ) -> None:
        wanted = headers.get(b"access-control-request-headers", b"*")
        await response.send_whole(
            200,
            b"",
            [
                (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
                (b"access-control-allow-headers", wanted),
                (b"access-control-max-age", str(self._config.preflight_max_age_s).encode()),
            ],
        )

    async def _answer_own_path(self, path: str, response: GatewayResponse) -> None:
        if path == "/live":
            await response.send_json(200, {"status": "live"})
        elif path == "/ready":
            ready = await self._ready()
            status = "ready" if ready else "not ready: the database does not answer"
            await response.send_json(200 if ready else 503, {"status": status})
        else:
            await response.refuse(
                404,
                {
                    "message": f"There is nothing at {path}",
                    "hint": f"Try {', '.join(self._mounts)}, /live or /ready.",
                },
            )


def create_gateway(
    rest: Mounted,
    auth: MountedAuth,
    realtime: Mounted,
    *,
    ready: ReadyCheck | None = None,
    config: GatewayConfig | None = None,
) -> Gateway:
    """Compose the servers under ``/rest/v1``, ``/auth/v1`` and ``/realtime/v1``.

    Args:
        rest: serves PostgREST's paths.
        auth: serves GoTrue's paths; its keys are the ones the gateway accepts.
        realtime: serves ``/websocket`` and ``/api/…``.
        ready: whether ``/ready`` answers 200; None asks the auth server for its database.
        config: limits; None takes the defaults.
    """
    mounts = {"/rest/v1": rest, "/auth/v1": auth, "/realtime/v1": realtime}
    return Gateway(mounts, auth.keys, ready or auth.is_ready, config or GatewayConfig())


def _enter_mount(scope: Scope, prefix: str) -> None:
    """Let the server behind see its prefix the way Starlette's ``Mount`` shows it."""
    root = scope.get("root_path", "")
    scope.setdefault("app_root_path", root)
    scope["root_path"] = root + prefix


def _query_key(scope: Scope) -> str:
    for part in scope.get("query_string", b"").split(b"&"):
        if part.startswith(b"apikey="):
            return unquote_plus(part[7:].decode("latin-1"))
    return ""


def _drop_query_key(scope: Scope) -> None:
    query: bytes = scope.get("query_string", b"")
    if b"apikey=" in query:
        kept = [part for part in query.split(b"&") if not part.startswith(b"apikey=")]
        scope["query_string"] = b"&".join(kept)


def _set_header(scope: Scope, name: bytes, value: bytes) -> None:
    kept = [pair for pair in scope["headers"] if pair[0] != name]
    scope["headers"] = [*kept, (name, value)]


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
