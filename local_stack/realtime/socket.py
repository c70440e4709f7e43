"""One WebSocket: its channels, reading what the client sends, writing what it is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.realtime import joining, wire
from local_stack.realtime.errors import FrameError
from local_stack.realtime.outlet import Outlet
from local_stack.realtime.rooms import PREFIX

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from local_stack.realtime.channel import Channel
    from local_stack.realtime.services import Services

log = logging.getLogger(__name__)

_HEARTBEAT_TOPIC = "phoenix"
_TOO_BIG = 1009
_IDLE = 1000
_CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """The credential of a connection.

    Attributes:
        token: the JWT, None for an ``sb_`` key, which does not expire.
        claims: verified claims.
    """

    token: str | None
    claims: Mapping[str, Any]


class Socket:
    """One connected client, served by the task that calls ``run``; ``send`` never waits."""

    __slots__ = (
        "_closing",
        "_heard_s",
        "_idle_timer",
        "_outlet",
        "_receive",
        "_send",
        "channels",
        "headers",
        "services",
        "tenant",
        "version",
    )

    def __init__(
        self,
        services: Services,
        receive: Receive,
        send: Send,
        *,
        version: wire.Version,
        tenant: Tenant,
        headers: Mapping[str, str],
    ) -> None:
        self.services = services
        self.version = version
        self.tenant = tenant
        self.headers = headers
        self.channels: dict[str, Channel] = {}
        self._receive = receive
        self._send = send
        self._outlet = Outlet(send)
        self._closing: int | None = None
        self._heard_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    # sending -----------------------------------------------------------------------------

    def send_push(self, push: wire.Push) -> None:
        """Send a message for many sockets; it is encoded once per serializer."""
        encoded = push.encode(self.version)
        if encoded is not None:
            self._write(encoded)

    def send(self, frame: wire.Rendered | None) -> None:
        """Send one frame of this socket's own."""
        if frame is not None:
            self._write(wire.encode_frame(frame))

    def _write(self, encoded: bytes) -> None:
        if self._closing is not None or self.services.faults.hang:
            return
        if self._outlet.write(encoded) > self.services.config.max_queued_bytes:
            log.warning("a client does not read its frames; its socket is dropped")
            self.abort()

    def send_message(
        self,
        topic: str,
        event: str,
        payload: Any,
        *,
        join_ref: wire.Ref = None,
        ref: wire.Ref = None,
    ) -> None:
        """Send one message in the serializer of this socket."""
        text = wire.dump_json(payload)
        self.send(wire.render_text(self.version, topic, event, text, join_ref=join_ref, ref=ref))

    def reply(
        self, message: wire.Inbound, status: str, response: Any, *, join_ref: wire.Ref = None
    ) -> None:
        """Send the ``phx_reply`` to a message."""
        self.send_message(
            message.topic,
            "phx_reply",
            {"status": status, "response": response},
            join_ref=join_ref,
            ref=message.ref,
        )

    def close(self, code: int) -> None:
        """Close after what was sent so far; a client that does not read is dropped."""
        if self._closing is None:
            self._closing = code
            self.services.tasks.spawn("socket-close", self._close_now(code))

    async def _close_now(self, code: int) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._send({"type": "websocket.close", "code": code})
        except (OSError, RuntimeError):  # TimeoutError is an OSError
            self._outlet.abort()

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        self._closing = self._closing or 1006
        self._outlet.abort()

    # running -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the socket until either side ends it, then take its channels down."""
        self._heard_s = asyncio.get_running_loop().time()
        self._arm_idle_timer(self._heard_s)
        try:
            await self._read()
        finally:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self._closing = self._closing or _IDLE
            for channel in tuple(self.channels.values()):
                channel.detach()
            self.channels.clear()
            self.services.joined_sockets.discard(self)

    async def _read(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return
            self._heard_s = clock()
            await self._handle_frame(event.get("text"), event.get("bytes"))

    def _arm_idle_timer(self, heard_s: float) -> None:
        loop = asyncio.get_running_loop()
        limit_s = self.services.config.idle_timeout_s
        self._idle_timer = loop.call_at(heard_s + limit_s, self._check_idle)

    def _check_idle(self) -> None:
        """Close the socket when the client has been silent too long; else look again then."""
        heard_s = max(self._heard_s, self._outlet.pinged_at_s)
        silent_s = asyncio.get_running_loop().time() - heard_s
        if silent_s >= self.services.config.idle_timeout_s:
            self._idle_timer = None
            self.close(_IDLE)
        else:
            self._arm_idle_timer(heard_s)

    async def _handle_frame(self, text: str | None, data: bytes | None) -> None:
        faults = self.services.faults
        if faults.hang or self._closing is not None:
            return
        size = len(text) if text is not None else len(data or b"")
        if size > self.services.config.max_frame_bytes:
            self.close(_TOO_BIG)
            return
        try:
            if text is not None:
                message = wire.parse_text(self.version, text)
            else:
                message = wire.parse_binary(self.version, data or b"")
        except FrameError as error:
            log.warning("MalformedWebSocketMessage: %s", error)
            return
        if faults.reply_delay_s > 0:
            await asyncio.sleep(faults.reply_delay_s)
        await self._dispatch(message)

    async def _dispatch(self, message: wire.Inbound) -> None:
        if message.topic == _HEARTBEAT_TOPIC and message.event == "heartbeat":
            self.reply(message, "ok", {})
            return
        channel = self.channels.get(message.topic)
        if message.event == "phx_join" and message.topic.startswith(PREFIX):
            await joining.join(self, message)
        elif message.event == "phx_leave":
            self._leave(message, channel)
        elif channel is not None:
            await channel.handle(message)
        else:
            self.reply(message, "error", {"reason": "unmatched topic"})

    def _leave(self, message: wire.Inbound, channel: Channel | None) -> None:
        if channel is None:
            self.reply(message, "ok", {})
            return
        if channel.sent_join_ref is not None and message.join_ref != channel.sent_join_ref:
            return  # a leave for an earlier join of this topic
        channel.detach()
        self.reply(message, "ok", {}, join_ref=channel.join_ref)
        channel.send_close()
