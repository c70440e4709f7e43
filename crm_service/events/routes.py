"""HTTP of live events (WHATWG server-sent events)."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from crm_service.dependencies import ReaderDep, ServicesDep
from crm_service.errors import ServiceError, UpstreamError
from crm_service.events.doorbell import Doorbell
from crm_service.events.feed import CURSOR_PATTERN, ActivityFeed
from crm_service.events.rooms import Room, require_customer, room_topic
from crm_service.problems import describe

router = APIRouter(tags=["events"])
_KEEP_ALIVE_S = 15.0


class EventStream(StreamingResponse):
    """A response of server-sent events."""

    media_type = "text/event-stream"


@router.get("/events", response_class=EventStream, responses=describe(404))
async def stream_events(
    request: Request,
    services: ServicesDep,
    reader: ReaderDep,
    last_event_id: Annotated[
        str | None,
        Header(
            max_length=16_000,
            pattern=CURSOR_PATTERN,
            description="`id` of the last event received: the stream goes on behind it.",
        ),
    ] = None,
    customer_id: Annotated[
        UUID | None, Query(description="Listen to a room of this customer's portal, too.")
    ] = None,
    room: Room = "chat",
    *,
    visible: Annotated[bool, Query(description="Let colleagues see that you are online.")] = True,
) -> EventStream:
    """Follow what colleagues and customers change, as it happens.

    Events: `activity` (as in `/v1/activity`), `online` (which colleagues are, as in
    `/v1/online`), `room` (who is in the customer's room), `heard` (what was said there, such as
    `typing`), `status` (whether the doorbell is joined), `reset` (what happened since
    `Last-Event-ID` is not known any more: load again what you show), `problem` (the stream ends;
    reconnect with a fresh token and `Last-Event-ID`). An event's `id` is the position behind it,
    also of those without data that only move it.
    """
    feed = ActivityFeed(reader, last_event_id)
    await feed.start()
    me = await reader.identify()
    if customer_id is not None:
        await require_customer(reader, customer_id)
    doorbell = services.realtime.doorbell(
        reader.caller.subject,
        says={"name": me.get("full_name"), "role": me.get("role")} if visible else None,
        room=room_topic(customer_id, room) if customer_id is not None else None,
    )
    stopping: asyncio.Event = request.app.state.stopping
    stream = _Stream(feed, doorbell, stopping, services.event_poll_s)
    return EventStream(
        _counted(stream.events(reader.caller.subject.expires_at), request),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _counted(events: AsyncIterator[bytes], request: Request) -> AsyncIterator[bytes]:
    metrics = request.app.state.metrics
    metrics.stream_opened()
    try:
        async for event in events:
            yield event
    finally:
        metrics.stream_closed()


class _Stream:
    """One caller's stream: wait for a ring, look, tell."""

    def __init__(
        self, feed: ActivityFeed, doorbell: Doorbell, stopping: asyncio.Event, poll_s: float
    ) -> None:
        self._feed = feed
        self._doorbell = doorbell
        self._stopping = stopping
        self._wait_s = min(poll_s, _KEEP_ALIVE_S)
        self._told: dict[str, object] = {}

    async def events(self, expires_at: float) -> AsyncIterator[bytes]:
        """Yield events until the session ends, access is lost or the service stops."""
        listening = asyncio.create_task(self._doorbell.run(), name="crm-doorbell")
        try:
            while not self._stopping.is_set():
                if time.time() >= expires_at:
                    yield _problem("token-expired", "The session has ended; sign in again.")
                    return
                self._doorbell.rung.clear()
                for event in self._of_doorbell():
                    yield event
                try:
                    async for entry in self._feed.news():
                        yield render_event("activity", entry.row, entry.cursor)
                except UpstreamError:
                    yield b": the database does not answer\n\n"
                except ServiceError as error:
                    yield _problem(error.code, error.detail)
                    return
                if self._feed.reset is not None:
                    yield render_event("reset", {"reason": self._feed.reset}, self._feed.cursor)
                    self._feed.reset = None
                if not await self._rung(expires_at - time.time()):
                    # No data: nothing is dispatched, and yet the position moves on.
                    yield f": still here\nid: {self._feed.cursor}\n\n".encode()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def _of_doorbell(self) -> Iterator[bytes]:
        """Yield what the socket knows that was not told yet."""
        doorbell = self._doorbell
        if self._told.get("live") is not doorbell.live:
            self._told["live"] = doorbell.live
            yield render_event("status", {"live": doorbell.live}, self._feed.cursor)
        for name, roster in (("online", doorbell.online), ("room", doorbell.in_room)):
            if doorbell.live and self._told.get(name, []) != roster.members:
                self._told[name] = roster.members
                yield render_event(name, {"members": roster.members})
        while doorbell.heard:
            event, payload = doorbell.heard.popleft()
            yield render_event("heard", {"event": event, "payload": payload})

    async def _rung(self, left_s: float) -> bool:
        """Wait for a ring, the service's end or the session's, or the time to look anyway."""
        waits = [
            asyncio.create_task(event.wait(), name="crm-event-wait")
            for event in (self._doorbell.rung, self._stopping)
        ]
        try:
            done, _ = await asyncio.wait(
                waits,
                timeout=max(0, min(self._wait_s, left_s)),
                return_when=asyncio.FIRST_COMPLETED,
            )
            return bool(done)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def render_event(name: str, data: Any, event_id: str | None = None) -> bytes:
    """Render one server-sent event; JSON has no line breaks of its own."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + to_json(data) + b"\n\n"


def _problem(code: str, detail: str) -> bytes:
    return render_event("problem", {"code": code, "detail": detail})
