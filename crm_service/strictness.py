"""Pure ASGI middleware: refuse what FastAPI overlooks.

A parameter with a typing mistake would be ignored, and a list come unfiltered. A body in another
media type would be told as a wrong value, one in UTF-16 be read, and a huge one that nobody asked
for break the answer off. ``Allow`` would name one of a path's methods.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from fastapi import params
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_service.errors import InvalidRequestError, ServiceError, UnsupportedMediaTypeError
from crm_service.fast_path import ROUTE_KEY, Replay, read_body
from crm_service.fast_values import is_list
from crm_service.headers import header
from crm_service.problems import on_http_exception, on_service_error

_GUARDED = "/v1/"
_UTF8 = frozenset({"utf-8", "utf-8-sig"})
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of a path reads.

    Attributes:
        path: With the names of its values.
        segments: Of the path; None stands for a value.
        method: HTTP method.
        query: Names of its query parameters.
        repeated: Those that may be given several times.
        reads_json: Whether it has a JSON body.
    """

    path: str
    segments: tuple[str | None, ...]
    method: str
    query: frozenset[str]
    repeated: frozenset[str]
    reads_json: bool

    def is_at(self, segments: list[str]) -> bool:
        """Tell whether a path with as many segments is this one's."""
        pairs = zip(self.segments, segments, strict=True)
        return all(given if own is None else own == given for own, given in pairs)


Book: TypeAlias = dict[int, list[Operation]]


class Strictness:
    """Between the fast path and FastAPI, so that only requests in doubt are looked at."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._book: Book | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED):
            if self._book is None:
                self._book = describe_operations(scope["app"].routes)
            segments = scope["path"].split("/")
            found = _at(self._book, segments)
            try:
                _check(scope, found)
                if _may_be_read(scope, found):
                    receive = await _read_as_utf8(receive)
            except ServiceError as error:
                scope[ROUTE_KEY] = found[0].path
                await on_service_error(Request(scope), error)(scope, receive, send)
                return
            except HTTPException as error:
                scope[ROUTE_KEY] = found[0].path
                await on_http_exception(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def describe_operations(routes: Any) -> Book:
    """Return what the operations of an application read, by the length of their paths."""
    book: Book = {}
    for context in iter_route_contexts(routes):
        dependant = getattr(context, "dependant", None)
        if context.path_format is None or dependant is None:
            continue
        parts = context.path_format.split("/")
        segments = tuple(None if part.startswith("{") else part for part in parts)
        every = list(_with_dependencies(dependant))
        parameters = [each for one in every for each in one.query_params]
        query = frozenset(each.alias for each in parameters)
        repeated = frozenset(
            each.alias for each in parameters if is_list(each.field_info.annotation)
        )
        bodies = [each.field_info for one in every for each in one.body_params]
        reads_json = bool(bodies) and not any(isinstance(each, params.Form) for each in bodies)
        for method in context.methods or ():
            operation = Operation(
                context.path_format, segments, method, query, repeated, reads_json
            )
            book.setdefault(len(segments), []).append(operation)
    return book


def _with_dependencies(dependant: Dependant) -> Iterable[Dependant]:
    yield dependant
    for each in dependant.dependencies:
        yield from _with_dependencies(each)


def _at(book: Book, segments: list[str]) -> list[Operation]:
    """Return the operations of a path; a name that stands in the path itself is no value."""
    found = [each for each in book.get(len(segments), ()) if each.is_at(segments)]
    named = [each for each in found if None not in each.segments]
    return named or found


def _check(scope: Scope, found: list[Operation]) -> None:
    """Raise what is wrong about a request; a path that is not ours is left to FastAPI.

    Raises:
        HTTPException: No operation has this method.
        InvalidRequestError: It has a parameter that the operation does not know, or one too often.
        UnsupportedMediaTypeError: The body is not JSON.
    """
    asked = [each for each in found if each.method == scope["method"]]
    if found and not asked:
        allowed = ", ".join(sorted({each.method for each in found}))
        raise HTTPException(405, headers={"Allow": allowed})
    for operation in asked[:1]:
        query = scope["query_string"].decode("latin-1")
        given = Counter(name for name, _ in parse_qsl(query, keep_blank_values=True))
        if unknown := [name for name in given if name not in operation.query]:
            raise _unknown(unknown, operation.query)
        if again := [name for name in given if given[name] > 1 and name not in operation.repeated]:
            raise _refusal(again, "is given more than once; it takes one value")
        if operation.reads_json and _has_body(scope) and not _is_json(scope):
            raise UnsupportedMediaTypeError(
                "Send the body as JSON, uncompressed: Content-Type: application/json."
            )


def _may_be_read(scope: Scope, found: list[Operation]) -> bool:
    """Tell whether there is a body that the operation reads as a whole, or not at all."""
    asked = [each for each in found if each.method == scope["method"]]
    whole = any(each.reads_json for each in asked[:1]) or scope["method"] in _WITHOUT_BODY
    return whole and _has_body(scope)


async def _read_as_utf8(receive: Receive) -> Receive:
    """Read a body, to be read again.

    Raises:
        HTTPException: It is too large or too slow, or in an encoding that JSON is not sent in.
    """
    body = await read_body(receive)
    if json.detect_encoding(body) not in _UTF8:
        raise HTTPException(400)
    return Replay(receive, body)


def _unknown(names: list[str], known: frozenset[str]) -> InvalidRequestError:
    there_are = f"there are {', '.join(sorted(known))}" if known else "there are none here"
    return _refusal([name[:50] for name in names[:10]], f"is not a parameter; {there_are}")


def _refusal(names: list[str], message: str) -> InvalidRequestError:
    return InvalidRequestError(
        "Correct these and send the request again: "
        + ", ".join(f"query.{name}" for name in names)
        + ".",
        [{"field": f"query.{name}", "message": message} for name in names],
    )


def _has_body(scope: Scope) -> bool:
    length = header(scope, b"content-length")
    return length not in {None, "0"} or header(scope, b"transfer-encoding") is not None


def _is_json(scope: Scope) -> bool:
    media_type = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    kind, _, subtype = media_type.partition("/")
    is_json = kind == "application" and (subtype == "json" or subtype.endswith("+json"))
    coding = (header(scope, b"content-encoding") or "identity").strip().lower()
    return is_json and coding == "identity"


__all__ = ["Operation", "Strictness", "describe_operations"]
