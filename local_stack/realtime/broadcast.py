"""Broadcast messages from clients, HTTP and the database, in the form receivers get them."""

from __future__ import annotations

from typing import Any

from local_stack.realtime.rooms import RoomKey
from local_stack.realtime.wire import Push, UserBroadcast, dump_json

EVENT = "broadcast"


def push_of_client(room: RoomKey, payload: Any) -> Push:
    """Return what a client's text push becomes: its payload, verbatim."""
    return Push(room.topic, EVENT, dump_json(payload))


def push_of_binary(room: RoomKey, content: UserBroadcast) -> Push:
    """Return what a binary push becomes; version 1 gets it only when it holds JSON.

    The text of the inner payload is passed on unread to version 2; the caller has checked that it
    is JSON.
    """
    inner = content.data.decode(errors="replace") if content.is_json else None
    return Push(room.topic, EVENT, _envelope(content.event, inner), binary=content)


def push_of_text(room: RoomKey, event: str, payload_json: str, message_id: str | None) -> Push:
    """Return a message that every version gets as text (HTTP batch, replay)."""
    meta = None if message_id is None else dump_json({"id": message_id})
    return Push(room.topic, EVENT, _envelope(event, payload_json, meta))


def push_of_single(room: RoomKey, event: str, data: bytes, *, is_json: bool) -> Push:
    """Return a message of the HTTP single endpoint."""
    return push_of_binary(room, UserBroadcast(event, data, is_json=is_json))


def push_of_row(
    room: RoomKey, event: str, message_id: str, *, payload_json: str | None, data: bytes | None
) -> Push:
    """Return a message that was inserted into realtime.messages: JSON text or bytes."""
    meta = dump_json({"id": message_id})
    if payload_json is not None:
        content = UserBroadcast(event, payload_json.encode(), is_json=True)
    else:
        content = UserBroadcast(event, data or b"", is_json=False)
    return Push(
        room.topic, EVENT, _envelope(event, payload_json, meta), binary=content, metadata=meta
    )


def _envelope(event: str, payload_json: str | None, meta_json: str | None = None) -> str | None:
    if payload_json is None:
        return None
    meta = "" if meta_json is None else f'"meta":{meta_json},'
    return f'{{"event":{dump_json(event)},{meta}"payload":{payload_json},"type":"broadcast"}}'
