"""Broadcast over HTTP: the batch and the single endpoint, and ping."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local_stack.auth.tokens import Claims, TokenError
from local_stack.realtime import broadcast
from local_stack.realtime.authorization import Subject
from local_stack.realtime.errors import FrameError, PermissionCheckError
from local_stack.realtime.rooms import RoomKey
from local_stack.realtime.wire import dump_json, parse_json

if TYPE_CHECKING:
    from local_stack.realtime.services import Services

_UNAUTHORIZED = {"message": "Unauthorized"}
_SINGLE_PATH = re.compile(rb"/api/broadcast/([^/]+)/events/([^/]+)/?\Z")
_BLANK = "can't be blank"
_TOO_LARGE = "Payload size exceeds tenant limit"


class BodyTooLargeError(Exception):
    """The request body is larger than the server reads."""


class HttpApi:
    """The HTTP endpoints of one server."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def ping(self, _request: Request) -> Response:
        """Answer that the server runs."""
        return JSONResponse({"message": "Success"})

    async def batch(self, request: Request) -> Response:
        """Broadcast a list of messages; private ones the caller may not send vanish silently."""
        if (limited := self._limit(0)) is not None:
            return limited
        claims = self._authenticate(request)
        if claims is None:
            return JSONResponse(_UNAUTHORIZED, 401)
        try:
            data = await self._read_body(request)
            body = parse_json(data) if _content_type(request) == "application/json" else None
        except BodyTooLargeError:
            return JSONResponse({"errors": {"detail": "Request Entity Too Large"}}, 413)
        except FrameError:
            return Response("Bad Request", 400)
        messages = body.get("messages") if isinstance(body, dict) else None
        if not isinstance(messages, list) or not messages:
            text = _BLANK if not messages and messages in (None, []) else "is invalid"
            return JSONResponse({"errors": {"messages": [text]}}, 422)
        errors = [self._validate(message) for message in messages]
        if any(errors):
            return JSONResponse({"errors": {"messages": errors}}, 422)
        if (limited := self._limit(len(messages))) is not None:
            return limited
        await self._send_batch(messages, Subject(claims, _policy_headers(request)))
        return Response(status_code=202)

    def _validate(self, message: Any) -> dict[str, list[str]]:
        source = message if isinstance(message, dict) else {}
        errors: dict[str, list[str]] = {}
        for name in ("topic", "event"):
            value = source.get(name)
            if value is None or value == "":
                errors[name] = [_BLANK]
            elif not isinstance(value, str):
                errors[name] = ["is invalid"]
        payload = source.get("payload")
        if payload is None:
            errors["payload"] = [_BLANK]
        elif not isinstance(payload, dict):
            errors["payload"] = ["is invalid"]
        elif len(dump_json(payload).encode()) > self._services.config.max_payload_bytes:
            errors["payload"] = [_TOO_LARGE]
        if not isinstance(source.get("private", False), bool | None):
            errors["private"] = ["is invalid"]
        return errors

    async def _send_batch(self, messages: list[dict[str, Any]], subject: Subject) -> None:
        allowed: dict[str, bool] = {}
        for message in messages:
            room = RoomKey(message["topic"], bool(message.get("private")))
            if room.private and room.sub_topic not in allowed:
                allowed[room.sub_topic] = await self._may_send(room, subject)
            if room.private and not allowed[room.sub_topic]:
                continue
            message_id = message.get("id")
            push = broadcast.push_of_text(
                room,
                message["event"],
                dump_json(message["payload"]),
                message_id if isinstance(message_id, str) else None,
            )
            self._services.counters.events.add(time.monotonic())
            self._services.rooms.broadcast(room, push)

    async def _may_send(self, room: RoomKey, subject: Subject) -> bool:
        try:
            grants = await self._services.authorizer.write(room.sub_topic, subject)
        except PermissionCheckError:
            return False
        return grants.broadcast

    async def single(self, request: Request) -> Response:
        """Broadcast one message: topic and event from the path, the payload is the body."""
        try:
            names = single_names(request.scope.get("raw_path") or request.url.path.encode())
        except UnicodeDecodeError:
            return Response("Bad Request", 400)
        if names is None:
            return Response("Not Found", 404, media_type="text/plain")
        return await self._single(request, *names)

    async def _single(self, request: Request, topic: str, event: str) -> Response:
        if (limited := self._limit(0)) is not None:
            return limited
        claims = self._authenticate(request)
        if claims is None:
            return JSONResponse(_UNAUTHORIZED, 401)
        try:
            payload, is_json = await self._read_payload(request)
        except BodyTooLargeError:
            return JSONResponse({"errors": {"payload": [_TOO_LARGE]}}, 422)
        except FrameError:
            return Response("Bad Request", 400)
        if payload is None:
            return JSONResponse(
                {
                    "error": "Unsupported Media Type. "
                    "Use application/json or application/octet-stream"
                },
                415,
            )
        if len(payload) > self._services.config.max_payload_bytes:
            return JSONResponse({"errors": {"payload": [_TOO_LARGE]}}, 422)
        room = RoomKey(topic, request.query_params.get("private") == "true")
        if room.private:
            refusal = await self._refuse_single(room, Subject(claims, _policy_headers(request)))
            if refusal is not None:
                return refusal
        push = broadcast.push_of_single(room, event, payload, is_json=is_json)
        self._services.counters.events.add(time.monotonic())
        self._services.rooms.broadcast(room, push)
        return Response(status_code=202)

    async def _read_payload(self, request: Request) -> tuple[bytes | None, bool]:
        kind = _content_type(request)
        body = await self._read_body(request)
        if kind == "application/octet-stream":
            return body, False
        if kind not in ("", "application/json"):
            return None, False
        if not kind or not body:
            return b"{}", True
        value = parse_json(body)
        if not isinstance(value, dict):
            body = dump_json({"_json": value}).encode()
        return body, True

    async def _refuse_single(self, room: RoomKey, subject: Subject) -> Response | None:
        try:
            grants = await self._services.authorizer.write(room.sub_topic, subject)
        except PermissionCheckError as error:
            text = "RLS policy error" if error.denied else "Tenant database unavailable"
            return JSONResponse({"message": text}, 422)
        return None if grants.broadcast else JSONResponse(_UNAUTHORIZED, 403)

    def _authenticate(self, request: Request) -> Claims | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or token.startswith("sb_"):
            key = request.headers.get("apikey", "")
            token = key or token
        verifier = self._services.verifier
        try:
            if token.startswith("sb_"):
                return verifier.claims_of_api_key(token)
            return verifier.verify(token)
        except TokenError:
            return None

    async def _read_body(self, request: Request) -> bytes:
        limit = self._services.config.max_body_bytes
        pieces: list[bytes] = []
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise BodyTooLargeError
            pieces.append(piece)
        return b"".join(pieces)

    def _limit(self, batch_size: int) -> Response | None:
        counter = self._services.counters.events
        if counter.limit is None:
            return None
        average = counter.average(time.monotonic())
        if batch_size == 0:
            message = "Too many requests" if average >= counter.limit else None
        elif average > counter.limit:
            message = "You have exceeded your rate limit"
        else:
            over = average + batch_size > counter.limit
            message = (
                "Too many messages to broadcast, please reduce the batch size" if over else None
            )
        return None if message is None else JSONResponse({"message": message}, 429)


def single_names(raw_path: bytes) -> tuple[str, str] | None:
    """Return topic and event of a single broadcast's path, None where there is nothing.

    Each is one segment of the path as it was sent, decoded afterwards, as Phoenix does it: an
    encoded slash belongs to the name. Pure.

    Args:
        raw_path: path of the request without the query, not decoded; a prefix does not matter.

    Raises:
        UnicodeDecodeError: a name is not UTF-8.
    """
    match = _SINGLE_PATH.search(raw_path.partition(b"?")[0])
    if match is None:
        return None
    return unquote_to_bytes(match[1]).decode(), unquote_to_bytes(match[2]).decode()


def _policy_headers(request: Request) -> dict[str, str]:
    return dict(request.headers.items())


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
