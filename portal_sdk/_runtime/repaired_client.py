"""The official ``realtime`` client with the defects repaired that would make a portal deaf.

One object is one socket; it never reconnects and is never used again after it ended. Repaired:
callbacks cannot kill the receive loop, frames may be large, undecodable frames are never logged
with their content, heartbeats carry a reference and their answers are seen, the end of the socket
is always reported, a close or error of an earlier join does not touch the present one, and nothing
rejoins behind our back.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import ssl
from typing import Any, Protocol, cast

from pydantic import ValidationError
from pydantic_core import from_json
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient
from realtime.message import ChannelCloseMessage, ChannelErrorMessage, Message, ServerMessageAdapter
from realtime.types import PHOENIX_CHANNEL, ChannelEvents
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, PayloadTooBig
from websockets.frames import CloseCode

from portal_sdk._core.json_value import as_object
from portal_sdk._runtime.frame_socket import FrameSocket

logger = logging.getLogger("portal_sdk.realtime")
CLOSE_TIMEOUT_S = 1.0
CHANGES, BROADCAST, SYSTEM = (
    each.value
    for each in (ChannelEvents.postgres_changes, ChannelEvents.broadcast, ChannelEvents.system)
)


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Load the certificate store once per process; each copy costs a megabyte and 20 ms."""
    return ssl.create_default_context()


class ClientListener(Protocol):
    """Told what happens; every method only enqueues."""

    def broadcast_received(self, event: str, payload: dict[str, Any]) -> None:
        """A broadcast arrived on the channel."""

    def change_received(self, payload: dict[str, Any]) -> None:
        """A database change arrived on the channel."""

    def frame_lost(self) -> None:
        """Something arrived that could not be read; it may have been a ring."""

    def system_received(self, payload: dict[str, Any]) -> None:
        """The server said something about the channel."""

    def heartbeat_answered(self) -> None:
        """The answer to our latest heartbeat arrived."""

    def channel_ended(self, reason: str) -> None:
        """The server closed or crashed the present join."""

    def socket_ended(self, code: int | None, reason: str) -> None:
        """The socket is gone; said exactly once."""


class RepairedChannel(AsyncRealtimeChannel):
    """A channel that is joined once and honours only what concerns that join."""

    def take_frame(self, frame: dict[str, Any], listener: ClientListener) -> None:
        """Route one decoded frame of this topic."""
        event, payload = frame.get("event"), as_object(frame.get("payload"))
        if payload is None:
            logger.debug("Could not read a realtime frame without an object payload: %s", event)
            listener.frame_lost()
        elif event == CHANGES:
            listener.change_received(payload)
        elif event == BROADCAST:
            inner = as_object(payload.get("payload"))
            listener.broadcast_received(str(payload.get("event", "")), inner or {})
        elif event == SYSTEM:
            listener.system_received(payload)
        else:
            self._take_protocol_frame(frame, listener)

    def _take_protocol_frame(self, frame: dict[str, Any], listener: ClientListener) -> None:
        try:
            message = ServerMessageAdapter.validate_python(frame)
        except ValidationError:
            logger.debug("Ignored an unknown realtime frame: %s", frame.get("event"))
            return
        if isinstance(message, (ChannelCloseMessage, ChannelErrorMessage)):
            # A second join on a topic makes the server close the first one; the frame of the
            # first must not take the second down.
            if message.ref is None or message.ref == self.join_push.ref:
                listener.channel_ended(str(frame.get("event")))
            return
        self._handle_message(message)

    def release(self) -> None:
        """Cancel every timer of this channel."""
        self.rejoin_timer.reset()
        self.join_push.destroy()
        for push in list(self.messages_waiting_for_ack.values()):
            push.destroy()


class RepairedClient(AsyncRealtimeClient):
    """One socket of the official client, for one generation."""

    def __init__(
        self, url: str, api_key: str, *, max_frame_bytes: int, timeout_s: float,
        listener: ClientListener,
    ) -> None:  # fmt: skip
        super().__init__(url, api_key, auto_reconnect=False, timeout=max(1, int(timeout_s)))
        self._max_frame_bytes = max_frame_bytes
        self._listener = listener
        self._beat_ref: str | None = None
        self._has_ended = False

    async def connect(self) -> None:
        """Open the socket, once.

        Raises:
            OSError, websockets.exceptions.InvalidHandshake: It could not be opened.
        """
        if self._ws_connection is not None:
            return
        url = self.endpoint_url()
        self._ws_connection = await connect(
            url,
            ssl=_tls_context() if url.startswith("wss://") else None,
            open_timeout=self.timeout,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=self._max_frame_bytes,
            ping_interval=None,  # heartbeats prove more: that the server, not only TCP, is alive
            compression=None,  # rings are tiny, and a deflate context is not
            create_connection=self._create_socket,
        )
        self._listen_task = asyncio.create_task(
            self._await_end(self._ws_connection), name="portal-doorbell-end"
        )

    def join_channel(self, topic: str, params: Any) -> RepairedChannel:
        """Return the one channel of this client; a topic is never joined twice."""
        channel = RepairedChannel(self, f"realtime:{topic}", params)
        self.channels[channel.topic] = channel
        return channel

    async def send_heartbeat(self) -> None:
        """Send a heartbeat whose answer can be told from others."""
        self._beat_ref = self._make_ref()
        await self.send(
            Message(
                topic=PHOENIX_CHANNEL, event=ChannelEvents.heartbeat, payload={},
                ref=self._beat_ref,
            )
        )  # fmt: skip

    async def push_token(self, channel: RepairedChannel, token: str) -> None:
        """Send a fresh token; the server never answers, so nothing waits for an answer."""
        self.access_token = token
        channel.join_push.update_payload({"access_token": token})
        await self.send(
            Message(
                topic=channel.topic,
                event=ChannelEvents.access_token,
                payload={"access_token": token},
                ref=self._make_ref(),
                join_ref=channel.join_push.ref,
            )
        )

    async def release(self) -> None:
        """Close the socket and end every task of this client."""
        self._has_ended = True
        task = cast("asyncio.Task[None] | None", self._listen_task)  # pyright: ignore[reportUnknownMemberType] - theirs
        for channel in self.get_channels():
            if isinstance(channel, RepairedChannel):
                channel.release()
        with contextlib.suppress(OSError, ConnectionClosed):
            await self.close()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # Typed as they type it: a function does as well ("set it to a wrapper or a subclass").
    @property
    def _create_socket(self) -> type[ClientConnection]:
        factory = functools.partial(FrameSocket, take=self._take_message)
        return cast("type[ClientConnection]", factory)

    async def _await_end(self, socket: ClientConnection) -> None:
        code: int | None = None
        reason = "nobody waits for its end"
        try:
            await socket.wait_closed()
            code, reason = socket.close_code, socket.close_reason or ""
            if isinstance(socket.protocol.parser_exc, PayloadTooBig):
                code, reason = int(CloseCode.MESSAGE_TOO_BIG), self._say_too_big()
        finally:
            if not self._has_ended:
                self._has_ended = True
                self._listener.socket_ended(code, reason)

    def _say_too_big(self) -> str:
        """Say what nothing else tells: the server did nothing wrong, the limit is ours."""
        reason = f"a message was above PortalConfig.max_frame_bytes ({self._max_frame_bytes})"
        logger.warning("A realtime socket was replaced: %s; raise the limit", reason)
        return f"{reason}; raise the limit"

    def _take_message(self, message: bytes) -> None:
        try:
            frame = as_object(from_json(message))
        except ValueError:
            logger.debug("Could not decode a realtime frame of %d bytes", len(message))
            self._listener.frame_lost()
            return
        if frame is None:
            self._listener.frame_lost()
            return
        topic = frame.get("topic")
        if topic == PHOENIX_CHANNEL:
            if frame.get("ref") == self._beat_ref:
                self._listener.heartbeat_answered()
            return
        channel = self.channels.get(topic) if isinstance(topic, str) else None
        if isinstance(channel, RepairedChannel):
            try:
                channel.take_frame(frame, self._listener)
            except Exception as error:  # noqa: BLE001 - one bad frame must not end the receiver
                logger.error("A realtime frame failed: %s", type(error).__name__)  # noqa: TRY400 - no data
