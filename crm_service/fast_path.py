"""Pure ASGI middleware: serve good requests of plain JSON routes without the framework's overhead.

FastAPI looks for the route in a list, twice, and works out at every request which values its
functions want. Here both are worked out once per route, from the same route objects. Only what is
plainly good is served: any doubt, such as a value that does not fit, hands the request to FastAPI
as if nothing had happened, so that refusals, documentation and rare features stay its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from fastapi import FastAPI
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_service.errors import ServiceError
from crm_service.fast_values import Body, Handler, Source, UnfitError, compile_handler
from crm_service.headers import first_headers
from crm_service.limits import announces_body
from crm_service.printed_response import PrintedResponse
from crm_service.problems import on_http_exception, on_service_error

ROUTE_KEY = "crm_service.route"
"""Where the scope has the route of a request served here, such as ``/v1/jobs/{job_id}``."""

# Of "/v1/customers/…", split at its slashes.
_COLLECTION = 2
_NO_BODY = Body(b"", "")
_NO_QUERY: Mapping[str, list[str]] = {}


@dataclass(frozen=True, slots=True)
class FastRoute:
    """A route that can be served here.

    Attributes:
        path: With the names of its values, such as ``/v1/customers/{customer_id}``.
        segments: Of the path; None stands for a value.
        fixed: Places and texts of those that are no values, but for the collection.
        values: Names and places of the values.
        handler: Calls the route's function and those it depends on.
        render: Checks and renders what the function returned.
        status: Of the answer, unless the function says another.
    """

    path: str
    segments: tuple[str | None, ...]
    fixed: tuple[tuple[int, str], ...]
    values: tuple[tuple[str, int], ...]
    handler: Handler
    render: Callable[[Any], bytes]
    status: int

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Return the values of a path; None if it is not of this route.

        Args:
            segments: As many as the route has, the collection's among them.
        """
        for index, text in self.fixed:
            if segments[index] != text:
                return None
        values = {}
        for name, index in self.values:
            given = segments[index]
            if not given:
                return None
            values[name] = given
        return values


Found: TypeAlias = tuple[FastRoute, dict[str, str]]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The routes in their order, by method, length and collection; plain paths also by name."""

    routes: Mapping[tuple[str, int, str], list[FastRoute]]
    plain: Mapping[tuple[str, str], FastRoute]

    def find(self, method: str, path: str) -> Found | None:
        """Return the first route of a path, and the values of the path."""
        plain = self.plain.get((method, path))
        return (plain, {}) if plain is not None else self.search(method, path)

    def search(self, method: str, path: str) -> Found | None:
        """Return the same as ``find``, without the list of plain paths."""
        segments = path.split("/")
        for route in self.routes.get((method, len(segments), _collection(segments)), ()):
            values = route.match(segments)
            if values is not None:
                return route, values
        return None


@dataclass(slots=True)
class Replay:
    """A body that was read, to be read again.

    Attributes:
        receive: Tells what comes behind the body.
        body: The whole.
    """

    receive: Receive
    body: bytes
    given: bool = field(default=False)

    async def __call__(self) -> Message:
        """Return the body once, then what comes behind it."""
        if self.given:
            return await self.receive()
        self.given = True
        return {"type": "http.request", "body": self.body, "more_body": False}


class FastPath:
    """The innermost middleware; ``app`` gets whatever is not served here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._routes: RouteTable | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope.get("root_path") or scope["app"].dependency_overrides:
            await self._app(scope, receive, send)
            return
        if self._routes is None:
            self._routes = find_fast_routes(scope["app"])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        found = self._routes.find(method, scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        route, values = found
        if method != scope["method"]:
            # RFC 9110, 9.3.2: as GET, without the body.
            scope[ROUTE_KEY] = route.path
            scope, send = {**scope, "method": method}, _without_body(send)
        answer: ASGIApp
        try:
            # A body that nobody asked for may be too large, too, or never end.
            if route.handler.reads_body or announces_body(scope):
                receive = Replay(receive, await read_body(receive))
            answer = await self._answer(route, values, scope, receive)
        except ServiceError as error:
            answer = on_service_error(Request(scope), error)
        except HTTPException as error:
            answer = on_http_exception(Request(scope), error)
        await answer(scope, receive, send)

    async def _answer(
        self, route: FastRoute, values: dict[str, str], scope: Scope, receive: Receive
    ) -> ASGIApp:
        """Return what sends the answer: the answer, or FastAPI if the request is not plain."""
        handler = route.handler
        scope["path_params"] = values
        request = Request(scope, receive)
        body = receive.body if isinstance(receive, Replay) else b""
        try:
            arguments = handler.read(_source(scope, handler, body))
        except UnfitError:
            del scope["path_params"]
            return self._app
        scope[ROUTE_KEY] = route.path
        response = PrintedResponse() if handler.wants_response else None
        result = await handler.call(arguments, request, response)
        if isinstance(result, Response):
            return result
        response = response or PrintedResponse()
        response.body, response.status_code = route.render(result), route.status
        return response


def find_fast_routes(app: FastAPI) -> RouteTable:
    """Return the routes of an application that can be served here, in their order."""
    table: dict[tuple[str, int, str], list[FastRoute]] = {}
    for context in iter_route_contexts(app.routes):
        route = _fast_route(context)
        if route is None:
            continue
        for method in context.methods or ():
            key = method, len(route.segments), _collection(route.segments)
            table.setdefault(key, []).append(route)
    return RouteTable(table, _plain_paths(table))


def _collection(segments: Sequence[str | None]) -> str:
    """Return the part behind the version, such as ``customers``, or nothing."""
    return (segments[_COLLECTION] or "") if len(segments) > _COLLECTION else ""


def _plain_paths(table: Mapping[tuple[str, int, str], list[FastRoute]]) -> dict[Any, FastRoute]:
    """Return the routes without values in their path that no route before them takes."""
    routes = RouteTable(table, {})
    plain = {}
    for (method, _, _), each in table.items():
        for route in each:
            found = routes.search(method, route.path)
            if found is not None and found[0] is route and not route.values:
                plain[method, route.path] = route
    return plain


def _fast_route(context: Any) -> FastRoute | None:
    """Return what is served here of a route; None if it needs FastAPI."""
    path, model = context.path_format, getattr(context, "response_field", None)
    if path is None or model is None or not _is_plain(context):
        return None
    handler = compile_handler(context.dependant)
    if handler is None:
        return None
    parts = path.split("/")
    segments = tuple(None if part.startswith("{") else part for part in parts)
    return FastRoute(
        path=path,
        segments=segments,
        fixed=tuple(
            (index, part)
            for index, part in enumerate(segments)
            if part is not None and index != _COLLECTION
        ),
        values=tuple((part[1:-1], i) for i, part in enumerate(parts) if part.startswith("{")),
        handler=handler,
        render=_renderer(model),
        status=context.status_code or 200,
    )


def _is_plain(context: Any) -> bool:
    """Tell whether the answer is the whole model as JSON, below a path without patterns."""
    usual_class = type(context.response_class).__name__ == "DefaultPlaceholder"
    has_options = (
        context.response_model_include
        or context.response_model_exclude
        or context.response_model_exclude_unset
        or context.response_model_exclude_defaults
        or context.response_model_exclude_none
        or not context.response_model_by_alias
    )
    segments = context.path_format.split("/")
    # A value in the collection's place would be looked for under a name.
    named = not "".join(segments[_COLLECTION : _COLLECTION + 1]).startswith("{")
    whole = named and all("{" not in part or part.startswith("{") for part in segments)
    convertors: Mapping[str, Any] = context.param_convertors
    text_only = all(type(each).__name__ == "StringConvertor" for each in convertors.values())
    with_body = context.status_code in {None, 200, 201}
    return usual_class and not has_options and whole and text_only and with_body


def _renderer(model: Any) -> Callable[[Any], bytes]:
    def render(result: Any) -> bytes:
        value, errors = model.validate(result, {}, loc=("response",))
        if errors:
            raise ResponseValidationError(errors)
        return bytes(model.serialize_json(value))

    return render


def _without_body(send: Send) -> Send:
    async def send_without_body(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_without_body


def _source(scope: Scope, handler: Handler, body: bytes) -> Source:
    """Return what the values are read from.

    Raises:
        UnfitError: There are parameters that nobody knows, or the body is compressed;
            ``Strictness`` says so.
    """
    given = first_headers(scope)
    if handler.reads_body and b"content-encoding" in given:
        raise UnfitError
    headers = {
        name.decode("latin-1"): given[name].decode("latin-1")
        for name in handler.header_names
        if name in given
    }
    query = _NO_QUERY
    if scope["query_string"]:
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if not query.keys() <= handler.query_names:
            raise UnfitError
    content = Body(body, _media_type(given)) if handler.reads_body else _NO_BODY
    return Source(scope["path_params"], query, headers, content)


def _media_type(headers: Mapping[bytes, bytes]) -> str:
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    return content_type.partition(";")[0].strip().lower()


async def read_body(receive: Receive) -> bytes:
    """Return a whole body.

    Raises:
        HTTPException: It is too large or too slow, or the caller went away.
    """
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400)
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


__all__ = [
    "ROUTE_KEY",
    "FastPath",
    "FastRoute",
    "Replay",
    "RouteTable",
    "find_fast_routes",
    "read_body",
]
