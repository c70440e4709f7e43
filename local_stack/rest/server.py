"""The ASGI application: reads the request, walks it through the stages, sends the response."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import unquote

from local_stack.auth.tokens import TokenVerifier
from local_stack.rest.cache_keeper import CacheKeeper
from local_stack.rest.config import RestConfig
from local_stack.rest.errors import DatabaseError, RequestError, RestError, SchemaError
from local_stack.rest.execute import Executor, ResultRow, Session
from local_stack.rest.identity import Identity, IdentityResolver
from local_stack.rest.plan import find_table, plan_request
from local_stack.rest.plan_call import find_functions
from local_stack.rest.plan_types import CallPlan, Plan, ReadPlan
from local_stack.rest.pool import ConnectionPool
from local_stack.rest.request import ApiRequest, HttpRequest, parse_request
from local_stack.rest.response import (
    Response,
    check_result,
    decides_commit,
    render_function_info,
    render_response,
    render_table_info,
)
from local_stack.rest.schema_cache import SchemaCache, quote_identifier
from local_stack.rest.sql import render_plan

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_STALE_CODES = frozenset({"42703", "42P01", "42883", "42704"})
_NO_BODY = frozenset({204, 304})
# Made once: json.dumps makes one for each text that is not spaced as usual.
_COMPACT = json.JSONEncoder(separators=(",", ":"))


class RestServer:
    """PostgREST's interface on one database.

    Args:
        config: Settings.
        verifier: Decides about tokens.
        dsn: The database, as role ``authenticator``.
    """

    def __init__(self, config: RestConfig, verifier: TokenVerifier, dsn: str) -> None:
        self._config = config
        self._pool = ConnectionPool(dsn, config)
        self._keeper = CacheKeeper(self._pool, config.schemas)
        self._identities = IdentityResolver(verifier, config.anon_role)
        self._executor = Executor(self._pool, config.pool_size)
        paths = dict.fromkeys((*config.schemas[:1], *config.extra_search_path))
        self._extra_path = tuple(paths)

    async def start(self) -> None:
        """Load the schema cache; if the database is down, keep trying in the background."""
        await self._keeper.start(self._config.connect_timeout_s)

    async def stop(self) -> None:
        """Close all connections."""
        await self._keeper.stop()
        await self._pool.close()

    @property
    def background_tasks(self) -> Collection[asyncio.Task[None]]:
        """Tasks that run from ``start`` to ``stop``; one that ends before is a fault."""
        return self._keeper.tasks

    @property
    def app(self) -> "RestServer":
        """The ASGI application: this object."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        try:
            response = await self._answer(scope, receive)
        except RestError as error:
            response = Response(error.status, error.all_headers(), error.body())
        except Exception:
            log.exception("unexpected error")
            fault = RestError("PGRSTX00", "Internal error", status=500)
            response = Response(500, fault.all_headers(), fault.body())
        await _send(scope, send, response)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        raw_query: bytes = scope["query_string"]
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if len(raw_query) + len(path) > self._config.max_url_bytes:
            raise RequestError(
                "PGRST100",
                "The URL is too long",
                details=f"The limit is {self._config.max_url_bytes} bytes",
                hint="Send long lists of values in the body of a function call.",
                status=414,
            )
        headers = _headers(scope)
        identity = self._identities.resolve(headers.get("authorization"))
        http = HttpRequest(
            scope["method"],
            path,
            raw_query.decode("ascii", "replace"),
            headers,
            await self._body(receive, headers),
        )
        cache = self._keeper.current
        request = parse_request(http, self._config, cache.timezones)
        try:
            return await self._attempt(http, request, identity, cache)
        except (SchemaError, DatabaseError) as error:
            if isinstance(error, DatabaseError) and error.code not in _STALE_CODES:
                raise
            if not await self._keeper.look_again(cache):
                raise
        return await self._attempt(http, request, identity, self._keeper.current)

    async def _attempt(
        self, http: HttpRequest, request: ApiRequest, identity: Identity, cache: SchemaCache
    ) -> Response:
        if request.action == "info":
            if request.is_function:
                return render_function_info(find_functions(cache, request))
            return render_table_info(find_table(request, cache))
        plan = plan_request(request, cache, self._config.max_rows)

        def check(row: ResultRow) -> None:
            check_result(request, plan, row)

        row = await self._executor.run(
            self._session(http, request, identity, cache, plan),
            render_plan(plan),
            check=check,
            decide=decides_commit(request, plan),
            rollback=request.preferences.transaction == "rollback",
        )
        return render_response(request, plan, row)

    def _session(
        self,
        http: HttpRequest,
        request: ApiRequest,
        identity: Identity,
        cache: SchemaCache,
        plan: Plan,
    ) -> Session:
        search_path = ", ".join(
            quote_identifier(name) for name in dict.fromkeys((request.schema, *self._extra_path))
        )
        shown = {name: value for name, value in http.headers.items() if name != "cookie"}
        return Session(
            identity=identity,
            search_path=search_path,
            headers=_COMPACT.encode(shown),
            cookies=_cookies(http.headers.get("cookie")),
            method=http.method,
            path=http.path,
            timezone=request.preferences.timezone or cache.default_timezone,
            read_only=isinstance(plan, ReadPlan) or (isinstance(plan, CallPlan) and plan.read_only),
            may_prepare=isinstance(plan, CallPlan) and not plan.read_only,
            role_settings=cache.role_settings.get(identity.role, {}),
        )

    async def _body(self, receive: Receive, headers: dict[str, str]) -> bytes:
        limit = self._config.max_body_bytes
        announced = headers.get("content-length", "")
        if announced.isdigit() and len(announced) < 19 and int(announced) > limit:
            raise _too_large(limit)
        chunks: list[bytes] = []
        size_bytes = 0
        while True:
            message = await receive()
            chunk: bytes = message.get("body", b"")
            size_bytes += len(chunk)
            if size_bytes > limit:
                raise _too_large(limit)
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks) if len(chunks) > 1 else chunk


def _too_large(limit: int) -> RequestError:
    return RequestError(
        "PGRST102",
        "The request body is too large",
        details=f"The limit is {limit} bytes",
        hint="Split the rows over several requests.",
        status=413,
    )


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("utf-8", "replace")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _cookies(header: str | None) -> str:
    if not header:
        return "{}"
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return json.dumps({name: unquote(value) for name, separator, value in pairs if separator})


async def _send(scope: Scope, send: Send, response: Response) -> None:
    body = b"" if scope["method"] == "HEAD" else response.body
    headers = [
        (name.lower().encode("latin-1"), value.encode("utf-8", "replace"))
        for name, value in response.headers
    ]
    if response.status not in _NO_BODY:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
