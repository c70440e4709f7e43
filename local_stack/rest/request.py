"""From HTTP to ``ApiRequest``: what the client wants, before the schema is looked at. Pure."""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote

from local_stack.rest.config import RestConfig
from local_stack.rest.errors import RequestError, not_implemented
from local_stack.rest.media import Representation, negotiate
from local_stack.rest.payload import Payload, empty_object, parse_payload
from local_stack.rest.preferences import Preferences, parse_preferences
from local_stack.rest.query_string import parse_query
from local_stack.rest.syntax import Query, Window

Action = Literal["read", "insert", "update", "delete", "call", "info"]

_TABLE_ACTIONS: dict[str, Action] = {
    "GET": "read",
    "HEAD": "read",
    "POST": "insert",
    "PATCH": "update",
    "DELETE": "delete",
    "OPTIONS": "info",
}
_RANGE = re.compile(r"(?:items=)?([0-9]{1,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The parts of an HTTP request that matter here; header names are lower case."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request taken apart.

    Attributes:
        action: What to do; ``call`` is a function, ``info`` is OPTIONS.
        schema: Exposed schema that names are looked up in.
        target: Table, view or function name.
        is_function: Whether ``target`` is a function.
        method: HTTP method.
        query: Parsed query string; its windows include the ``Range`` header.
        preferences: From ``Prefer``.
        representation: From ``Accept``.
        payload: Body of an insert, an update or a function call by POST.
        by_profile: Whether the schema was chosen by a profile header.
    """

    action: Action
    schema: str
    target: str
    is_function: bool
    method: str
    query: Query
    preferences: Preferences
    representation: Representation
    payload: Payload | None
    by_profile: bool

    @property
    def window(self) -> Window:
        """Rows asked for at the top level."""
        return self.query.windows.get((), Window())


def parse_request(http: HttpRequest, config: RestConfig, timezones: Set[str]) -> ApiRequest:
    """Parse an HTTP request.

    Args:
        http: Method, path below the mount point, query string, headers, body.
        config: Exposed schemas and limits.
        timezones: Names valid in ``Prefer: timezone``.

    Raises:
        RequestError: PGRST1xx, where the request is wrong or asks for what is not built.
    """
    target, is_function = _target(http.path)
    action = _action(http.method, is_function=is_function)
    schema, by_profile = _schema(http, config)
    function_read = is_function and http.method in ("GET", "HEAD", "OPTIONS")
    query = parse_query(http.query_string, is_function_read=function_read)
    query = _with_range(query, http, action)
    preferences = parse_preferences(
        (http.headers["prefer"],) if "prefer" in http.headers else (),
        timezones,
        allow_transaction=config.allow_transaction_preference,
    )
    payload = _payload(http, query, action, is_function=is_function)
    return ApiRequest(
        action=action,
        schema=schema,
        target=target,
        is_function=is_function,
        method=http.method,
        query=query,
        preferences=preferences,
        representation=negotiate(http.headers.get("accept")),
        payload=payload,
        by_profile=by_profile,
    )


def _target(path: str) -> tuple[str, bool]:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts == [""]:
        raise RequestError(
            "PGRST126", hint="Name a table, a view or rpc/<function>; OpenAPI output is not built."
        )
    if len(parts) == 1:
        return parts[0], False
    if len(parts) == 2 and parts[0] == "rpc":
        return parts[1], True
    raise RequestError("PGRST125")


def _action(method: str, *, is_function: bool) -> Action:
    if not is_function:
        if method == "PUT":
            raise not_implemented("PUT")
        if method not in _TABLE_ACTIONS:
            raise RequestError("PGRST117", f"Unsupported HTTP method: {method}")
        return _TABLE_ACTIONS[method]
    if method in ("GET", "HEAD", "POST"):
        return "call"
    if method == "OPTIONS":
        return "info"
    raise RequestError("PGRST101", f"Cannot use the {method} method on RPC")


def _schema(http: HttpRequest, config: RestConfig) -> tuple[str, bool]:
    reads = http.method in ("GET", "HEAD")
    profile = http.headers.get("accept-profile" if reads else "content-profile")
    if profile is None:
        return config.schemas[0], False
    if profile not in config.schemas:
        exposed = ", ".join(config.schemas)
        raise RequestError(
            "PGRST106",
            f"Invalid schema: {profile}",
            hint=f"Only the following schemas are exposed: {exposed}",
        )
    return profile, True


def _payload(
    http: HttpRequest, query: Query, action: Action, *, is_function: bool
) -> Payload | None:
    if action not in ("insert", "update") and not (action == "call" and http.method == "POST"):
        return None
    content_type = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if is_function and not http.body:
        return empty_object()
    return parse_payload(http.body, content_type, query.columns)


def _with_range(query: Query, http: HttpRequest, action: Action) -> Query:
    """Intersect ``limit``/``offset`` with the ``Range`` header of a GET."""
    window = query.windows.get(())
    if window is not None:
        _check_window(window, action)
    header = http.headers.get("range") if http.method == "GET" else None
    found = _RANGE.fullmatch(header) if header else None
    if found is None:
        return query
    merged = _intersect(window or Window(), int(found[1]), int(found[2]) if found[2] else None)
    return replace(query, windows={**query.windows, (): merged})


def _check_window(window: Window, action: Action) -> None:
    if action in ("update", "delete"):
        raise not_implemented("limit and offset on PATCH and DELETE")
    if window.limit is not None and window.limit < 0:
        raise RequestError("PGRST103", details="Limit should be greater than or equal to zero.")


def _intersect(window: Window, lower: int, upper: int | None) -> Window:
    if upper is not None and lower > upper:
        raise RequestError(
            "PGRST103",
            details="The lower boundary must be lower than or equal to the upper boundary in the "
            "Range header.",
        )
    offset = max(window.offset, lower)
    ends = [] if upper is None else [upper + 1]
    if window.limit is not None:
        ends.append(window.offset + window.limit)
    limit = max(min(ends) - offset, 0) if ends else None
    return Window(offset, limit)
