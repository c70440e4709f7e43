"""Frames of the Realtime protocol: text and bytes to values and back.

Pure. Two serializers: ``V1`` (objects, text only) and ``V2`` (arrays, with binary frames for
broadcasts). Reading is strict about shape and raises ``FrameError``; the caller drops the frame.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NoReturn, TypeAlias

from local_stack.realtime.errors import FrameError

Rendered: TypeAlias = str | bytes
Ref: TypeAlias = str | int | float | None  # strings by convention; numbers are echoed as numbers

_PUSH = 0
_USER_BROADCAST_PUSH = 3
_USER_BROADCAST = 4
_MAX_FIELD_BYTES = 255
_FINAL_TEXT, _FINAL_BINARY = 0x81, 0x82
_SHORT_BYTES, _MEDIUM_BYTES = 125, 0xFFFF
# Made once: json.dumps makes one for each text that is not spaced as usual.
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Version(Enum):
    """Serializer that a socket chose with ``vsn``."""

    V1 = "1.0.0"
    V2 = "2.0.0"


@dataclass(frozen=True, slots=True)
class UserBroadcast:
    """Content of a binary broadcast frame: bytes, or the text of a JSON value."""

    event: str
    data: bytes
    is_json: bool


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message of a client."""

    join_ref: Ref
    ref: Ref
    topic: str
    event: str
    payload: Any  # a JSON value, UserBroadcast, or bytes


@dataclass(slots=True)
class Push:
    """A message for many sockets, rendered at most once per serializer.

    Attributes:
        payload_json: the payload as JSON text; None when version 1 cannot carry it.
        binary: what version 2 carries instead of text, without the topic.
    """

    topic: str
    event: str
    payload_json: str | None
    binary: UserBroadcast | None = None
    metadata: str = ""
    _encoded: dict[Version, bytes | None] = field(default_factory=dict)

    def encode(self, version: Version) -> bytes | None:
        """Return the WebSocket frame for a serializer, None when it cannot be told in it."""
        if version not in self._encoded:
            frame = self.render(version)
            self._encoded[version] = None if frame is None else encode_frame(frame)
        return self._encoded[version]

    def render(self, version: Version) -> Rendered | None:
        """Return the text or bytes for a serializer, None when it cannot be told in it."""
        if version is Version.V2 and self.binary is not None:
            return render_user_broadcast(self.topic, self.binary, self.metadata)
        if self.payload_json is None:
            return None
        return render_text(version, self.topic, self.event, self.payload_json)


def encode_frame(frame: Rendered) -> bytes:
    """Return one whole WebSocket frame, unmasked, as a server sends it."""
    opcode = _FINAL_TEXT if isinstance(frame, str) else _FINAL_BINARY
    data = frame.encode() if isinstance(frame, str) else frame
    size = len(data)
    if size <= _SHORT_BYTES:
        return bytes((opcode, size)) + data
    if size <= _MEDIUM_BYTES:
        return struct.pack("!BBH", opcode, 126, size) + data
    return struct.pack("!BBQ", opcode, 127, size) + data


def dump_json(value: Any) -> str:
    """Return compact JSON text that can always be encoded as UTF-8."""
    text = _COMPACT.encode(value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, legal in JSON as an escape only
        return json.dumps(value, separators=(",", ":"))
    return text


def inspect_term(value: Any) -> str:
    """Return a JSON value as the real server prints it in messages."""
    if isinstance(value, dict):
        pairs = (f"{dump_json(key)} => {inspect_term(value[key])}" for key in sorted(value))
        return f"%{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(inspect_term(item) for item in value)}]"
    return "nil" if value is None else dump_json(value)


def parse_json(text: str | bytes) -> Any:
    """Return the value of strict JSON text.

    Raises:
        FrameError: the text is not JSON, or is nested beyond reason.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FrameError("not JSON") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def parse_text(version: Version, text: str) -> Inbound:
    """Return the message of a text frame.

    Raises:
        FrameError: not JSON, another container, a missing part or a part of the wrong type.
    """
    value = parse_json(text)
    if version is Version.V1:
        parts = _object_parts(value)
    elif isinstance(value, list) and len(value) >= 5:
        parts = tuple(value[:5])
    else:
        raise FrameError("not an array of five")
    join_ref, ref, topic, event, payload = parts
    if not isinstance(topic, str) or not isinstance(event, str):
        raise FrameError("topic and event must be strings")
    return Inbound(_parse_ref(join_ref), _parse_ref(ref), topic, event, payload)


def _object_parts(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, dict):
        raise FrameError("not an object")
    missing = [name for name in ("topic", "event", "payload", "ref") if name not in value]
    if missing:
        raise FrameError(f"missing {', '.join(missing)}")
    return value.get("join_ref"), value["ref"], value["topic"], value["event"], value["payload"]


def _parse_ref(value: Any) -> Ref:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    raise FrameError("a ref must be a string, a number or null")


def parse_binary(version: Version, data: bytes) -> Inbound:
    """Return the message of a binary frame: a push or a user's broadcast.

    Raises:
        FrameError: version 1 has no binary frames; unknown kind; lengths beyond the end; not UTF-8.
    """
    if version is Version.V1 or not data:
        raise FrameError("no binary frame is expected here")
    kind = data[0]
    if kind == _USER_BROADCAST_PUSH:
        (join_ref, ref, topic, event, _metadata), rest = _split_fields(data, header=7, count=5)
        content = UserBroadcast(event, rest, is_json=data[6] != 0)
        return Inbound(join_ref, ref, topic, "broadcast", content)
    if kind == _PUSH:
        (join_ref, ref, topic, event), rest = _split_fields(data, header=5, count=4)
        return Inbound(join_ref, ref, topic, event, rest)
    raise FrameError(f"unknown binary kind {kind}")


def _split_fields(data: bytes, *, header: int, count: int) -> tuple[list[str], bytes]:
    if len(data) < header:
        raise FrameError("a binary frame is shorter than its header")
    at = header
    fields: list[str] = []
    for length in data[1 : 1 + count]:
        end = at + length
        if end > len(data):
            raise FrameError("a binary frame is shorter than its lengths say")
        try:
            fields.append(data[at:end].decode())
        except UnicodeDecodeError as error:
            raise FrameError("a binary frame holds text that is not UTF-8") from error
        at = end
    return fields, data[at:]


def render_text(
    version: Version,
    topic: str,
    event: str,
    payload_json: str,
    *,
    join_ref: Ref = None,
    ref: Ref = None,
) -> str:
    """Return a text frame; version 1 has no place for ``join_ref``."""
    if version is Version.V1:
        return (
            f'{{"ref":{dump_json(ref)},"event":{dump_json(event)},'
            f'"payload":{payload_json},"topic":{dump_json(topic)}}}'
        )
    return (
        f"[{dump_json(join_ref)},{dump_json(ref)},{dump_json(topic)},"
        f"{dump_json(event)},{payload_json}]"
    )


def render_user_broadcast(topic: str, content: UserBroadcast, metadata: str) -> bytes | None:
    """Return the binary frame of a broadcast, None when a part is longer than 255 bytes."""
    parts = [part.encode(errors="replace") for part in (topic, content.event, metadata)]
    if any(len(part) > _MAX_FIELD_BYTES for part in parts):
        return None
    header = bytes([_USER_BROADCAST, *(len(part) for part in parts), int(content.is_json)])
    return b"".join((header, *parts, content.data))
