"""One socket with one room channel: presence, broadcasts with answers, database changes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Protocol

from realtime.message import Message
from realtime.types import (
    ChannelEvents,
    RealtimePostgresChangesListenEvent,
    RealtimeSubscribeStates,
)
from websockets.exceptions import InvalidStatus, WebSocketException

from portal_sdk._core.events import LossKind
from portal_sdk._core.json_value import as_object
from portal_sdk._runtime.repaired_client import ClientListener, RepairedChannel, RepairedClient
from portal_sdk._runtime.transport import classify_reason, parse_reason
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConnectError,
    ConnectionLostError,
    JoinRejectedError,
    JoinTimeoutError,
    PortalError,
)
from portal_sdk.types import Row

CLIENT_TIMEOUT_MARGIN_S = 5.0
TOO_MANY_REQUESTS = 429
POSTGRES = "postgres_changes"
BAD_BINDING = "Unable to subscribe to changes with given parameters"
"""How the server says that such a table or column cannot be followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomOptions:
    """How a channel is joined."""

    topic: str
    is_private: bool = True
    presence_key: str | None = None
    sends_ack: bool = False
    hears_self: bool = False
    binding: tuple[str, str, str, str | None] | None = None
    """(event, schema, table, filter) of one database-changes binding."""


class RoomListener(Protocol):
    """Told what happens to one generation; every method only enqueues."""

    def room_joined(self, generation: int) -> None:
        """Everything that was asked for is running."""

    def room_lost(self, generation: int, kind: LossKind, error: PortalError) -> None:
        """The generation ended."""

    def room_beaten(self, generation: int) -> None:
        """The heartbeat was answered."""

    def room_doubted(self, generation: int) -> None:
        """Something was missed, or may have been."""

    def room_presence(self, event: str, payload: Row) -> None:
        """A presence frame arrived."""

    def room_broadcast(self, event: str, payload: Row) -> None:
        """A broadcast arrived."""

    def room_change(self, payload: Row) -> None:
        """A database change arrived."""


class RoomChannel(RepairedChannel):
    """Also takes presence frames, and the answers to our own pushes."""

    waiting: dict[str, asyncio.Future[Row]]

    def take_frame(self, frame: Row, listener: ClientListener) -> None:
        """Route one decoded frame of this topic."""
        event, payload, ref = frame.get("event"), as_object(frame.get("payload")), frame.get("ref")
        if event in ("presence_state", "presence_diff") and payload is not None:
            if isinstance(listener, RoomLink):
                listener.presence_received(str(event), payload)
        elif event == ChannelEvents.reply.value and ref in self.waiting:
            answer = self.waiting.pop(str(ref))
            if not answer.done():
                answer.set_result(payload or {})
        else:
            super().take_frame(frame, listener)


class _RoomClient(RepairedClient):
    def join_channel(self, topic: str, params: Any) -> RoomChannel:
        channel = RoomChannel(self, f"realtime:{topic}", params)
        channel.waiting = {}
        self.channels[channel.topic] = channel
        return channel


class RoomLink:
    """One generation: one socket, one join. Thrown away, never repaired (ROOM-1)."""

    def __init__(
        self, url: str, api_key: str, config: PortalConfig, generation: int, token: str,
        options: RoomOptions, listener: RoomListener,
    ) -> None:  # fmt: skip
        self._generation = generation
        self._options = options
        self._listener = listener
        self._has_ended = False
        self._is_running = False
        self._opener: asyncio.Task[None] | None = None
        self._client = _RoomClient(
            url, api_key, max_frame_bytes=config.max_frame_bytes,
            timeout_s=config.join_timeout_s + CLIENT_TIMEOUT_MARGIN_S, listener=self,
        )  # fmt: skip
        self._client.access_token = token
        has_presence = options.presence_key is not None
        self._channel = self._client.join_channel(
            options.topic,
            {
                "config": {
                    "broadcast": {"ack": options.sends_ack, "self": options.hears_self},
                    "presence": {"key": options.presence_key or "", "enabled": has_presence},
                    "private": options.is_private,
                }
            },
        )
        if options.binding is not None:
            event, schema, table, rows = options.binding
            self._channel.on_postgres_changes(
                RealtimePostgresChangesListenEvent(event), _ignore,
                table=table, schema=schema, filter=rows,
            )  # fmt: skip

    # For the runner.

    async def open(self) -> None:
        """Connect and join; every outcome goes to the listener."""
        self._opener = asyncio.current_task()
        try:
            await self._client.connect()
            await self._channel.subscribe(self._join_answered)
        except InvalidStatus as error:
            status = error.response.status_code
            kind = LossKind.RATE_LIMITED if status == TOO_MANY_REQUESTS else LossKind.CHANNEL
            self._lose(kind, ConnectError(f"Realtime refused the socket with HTTP {status}"))
        except (OSError, WebSocketException, TimeoutError) as error:
            reason = type(error).__name__
            self._lose(LossKind.NETWORK, ConnectError(f"No realtime socket: {reason}"))

    async def push_token(self, token: str) -> None:
        """Give the server a fresh token."""
        await self._client.push_token(self._channel, token)

    async def beat(self) -> None:
        """Ask for a sign of life."""
        await self._client.send_heartbeat()

    async def send(self, event: str, payload: Row) -> None:
        """Send a frame that nobody answers."""
        await self._client.send(self._message(event, payload))

    async def ask(self, event: str, payload: Row) -> Row:
        """Send a frame and return the answer's payload; the caller sets the deadline."""
        message = self._message(event, payload)
        ref = str(message.ref)
        answer: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self._channel.waiting[ref] = answer
        try:
            await self._client.send(message)
            return await answer
        finally:
            self._channel.waiting.pop(ref, None)

    async def close(self) -> None:
        """Throw the socket away."""
        self._has_ended = True
        self._fail_waiting()
        opener = self._opener
        if opener is not None and not opener.done() and opener is not asyncio.current_task():
            opener.cancel()  # its socket would come after the release, and nobody would close it
            await asyncio.wait([opener])
        await self._client.release()

    # ClientListener.

    def presence_received(self, event: str, payload: Row) -> None:
        """Pass a presence frame on."""
        if not self._has_ended:
            self._listener.room_presence(event, payload)

    def broadcast_received(self, event: str, payload: Row) -> None:
        """Pass a broadcast on."""
        if not self._has_ended:
            self._listener.room_broadcast(event, payload)

    def change_received(self, payload: Row) -> None:
        """Pass a database change on."""
        if not self._has_ended:
            self._listener.room_change(payload)

    def frame_lost(self) -> None:
        """Say that something was missed."""
        if not self._has_ended:
            self._listener.room_doubted(self._generation)

    def system_received(self, payload: Row) -> None:
        """Tell news about the channel from complaints that end it."""
        is_stream = payload.get("extension") == POSTGRES
        if is_stream and self._options.binding is None:
            return
        if payload.get("status") == "ok":
            if is_stream:
                self._report_stream()
            return
        reason = str(payload.get("message", ""))
        if is_stream and BAD_BINDING in reason:
            self._lose(LossKind.CHANNEL, JoinRejectedError(BAD_BINDING, reason))
            return
        self._lose(classify_reason(reason), ConnectionLostError(f"Realtime ended it: {reason}"))

    def heartbeat_answered(self) -> None:
        """Report the sign of life."""
        self._listener.room_beaten(self._generation)

    def channel_ended(self, reason: str) -> None:
        """Report the end of the join."""
        self._lose(LossKind.CHANNEL, ConnectionLostError(f"Realtime ended the channel: {reason}"))

    def socket_ended(self, code: int | None, reason: str) -> None:
        """Report the end of the socket."""
        text = f"The socket closed (code {code}{', ' + reason if reason else ''})"
        self._lose(LossKind.NETWORK, ConnectionLostError(text, code=code))

    # Private.

    def _join_answered(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if self._has_ended:
            return
        match state:
            case RealtimeSubscribeStates.SUBSCRIBED:
                if self._options.binding is None:
                    self._listener.room_joined(self._generation)
            case RealtimeSubscribeStates.CHANNEL_ERROR:
                reason = _reason_of(error)
                code, sentence = parse_reason(reason)
                self._lose(classify_reason(reason), JoinRejectedError(code, sentence))
            case RealtimeSubscribeStates.TIMED_OUT:
                self._lose(LossKind.NETWORK, JoinTimeoutError("The join was not answered"))
            case RealtimeSubscribeStates.CLOSED:
                self._lose(LossKind.CHANNEL, ConnectionLostError("The channel was closed"))

    def _report_stream(self) -> None:
        """The join's reply is premature: only this word says that changes are streamed."""
        if self._has_ended:
            return
        if self._is_running:
            self._listener.room_doubted(self._generation)  # the server subscribed anew by itself
        self._is_running = True
        self._listener.room_joined(self._generation)

    def _lose(self, kind: LossKind, error: PortalError) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._fail_waiting()
            self._listener.room_lost(self._generation, kind, error)

    def _fail_waiting(self) -> None:
        for answer in self._channel.waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionLostError("The room's connection was lost"))
        self._channel.waiting.clear()

    def _message(self, event: str, payload: Row) -> Message:
        return Message(
            topic=self._channel.topic, event=event, payload=payload,
            ref=self._client._make_ref(), join_ref=self._channel.join_push.ref,  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the library's only way to number a frame
        )  # fmt: skip


def _reason_of(error: Exception | None) -> str:
    try:
        payload = json.loads(str(error))
    except ValueError:
        return "no reason given"
    answer = as_object(payload)
    return str(payload) if answer is None else str(answer.get("reason", ""))


def _ignore(_payload: Any) -> None:
    """Do nothing: frames are taken before the library routes them."""
