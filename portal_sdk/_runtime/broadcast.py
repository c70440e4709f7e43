"""The default doorbell: broadcasts from the database on the customer's private channel."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

from realtime.types import RealtimeSubscribeStates
from websockets.exceptions import InvalidStatus, WebSocketException

from portal_sdk._core.events import (
    DoorbellJoined,
    DoorbellLost,
    DoorbellRang,
    HeartbeatAnswered,
    LossKind,
)
from portal_sdk._core.json_value import as_object
from portal_sdk._runtime.repaired_client import RepairedChannel, RepairedClient
from portal_sdk._runtime.transport import Sink, classify_reason, parse_reason
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConnectError,
    ConnectionLostError,
    JoinRejectedError,
    JoinTimeoutError,
    PortalError,
)

RING_EVENT = "sync"
TOO_MANY_REQUESTS = 429
CLIENT_TIMEOUT_MARGIN_S = 5.0


class BroadcastLink:
    """One socket with one private channel; reports through the sink and decides nothing."""

    is_private: ClassVar[bool] = True
    topic_prefix: ClassVar[str] = ""

    def __init__(
        self, url: str, api_key: str, config: PortalConfig, generation: int, scope: str,
        token: str, sink: Sink,
    ) -> None:  # fmt: skip
        self._generation = generation
        self._scope = scope
        self._is_streaming = False
        self._opener: asyncio.Task[None] | None = None
        self._sink = sink
        self._has_ended = False
        # The machine's own join deadline is the one that counts.
        timeout_s = config.join_timeout_s + CLIENT_TIMEOUT_MARGIN_S
        self._client = RepairedClient(
            url, api_key, max_frame_bytes=config.max_frame_bytes, timeout_s=timeout_s,
            listener=self,
        )  # fmt: skip
        self._client.access_token = token
        params: dict[str, Any] = {
            "config": {
                "broadcast": {"ack": False, "self": False, "replication_ready": True},
                "presence": {"key": "", "enabled": False},
                "private": self.is_private,
            }
        }
        self._channel: RepairedChannel = self._client.join_channel(
            f"{self.topic_prefix}{scope}", params
        )
        self.prepare()

    def prepare(self) -> None:
        """Register what the join asks for; nothing for broadcasts."""

    # DoorbellLink.

    async def open(self) -> None:
        """Connect and join; every outcome goes to the sink."""
        self._opener = asyncio.current_task()
        try:
            await self._client.connect()
            await self._channel.subscribe(self._join_answered)
        except InvalidStatus as error:
            status = error.response.status_code
            # Whatever it is about, another kind of channel would meet the same gateway.
            kind = LossKind.RATE_LIMITED if status == TOO_MANY_REQUESTS else LossKind.NETWORK
            self._lose(kind, ConnectError(f"Realtime refused the socket with HTTP {status}"))
        except (OSError, WebSocketException, TimeoutError) as error:
            reason = type(error).__name__
            self._lose(LossKind.NETWORK, ConnectError(f"No realtime socket: {reason}"))

    async def push_token(self, token: str) -> None:
        """Give the server a fresh token."""
        await self._client.push_token(self._channel, token)

    async def heartbeat(self) -> None:
        """Ask for a sign of life."""
        await self._client.send_heartbeat()

    async def close(self) -> None:
        """Throw the socket away."""
        self._has_ended = True
        opener = self._opener
        if opener is not None and not opener.done() and opener is not asyncio.current_task():
            # Joining on after the release would start timers that nobody stops.
            opener.cancel()
            await asyncio.wait([opener])
        await self._client.release()

    # ClientListener.

    def broadcast_received(self, event: str, payload: dict[str, Any]) -> None:
        """Turn a ring into an event; anything odd still means "look"."""
        if event != RING_EVENT or self._has_ended:
            return
        epoch, n = payload.get("epoch"), payload.get("n")
        if not isinstance(epoch, str) or not isinstance(n, int) or isinstance(n, bool):
            epoch = n = None
        self._sink(DoorbellRang(self._generation, epoch, n))

    def change_received(self, payload: dict[str, Any]) -> None:
        """Ignore rows; this doorbell asked for none."""

    def frame_lost(self) -> None:
        """Report that something arrived that could not be read."""
        if not self._has_ended:
            self._sink(DoorbellRang(self._generation))

    def system_received(self, payload: dict[str, Any]) -> None:
        """Tell news about the channel from complaints that end it."""
        if payload.get("status") == "ok":
            # Rings sent before the server's replication was up are lost: look once more.
            if not self._has_ended:
                self._sink(DoorbellRang(self._generation))
            return
        if payload.get("extension") == "postgres_changes":
            return  # the channel stays joined, and this doorbell does not use that extension
        reason = str(payload.get("message", ""))
        self._lose(classify_reason(reason), ConnectionLostError(f"Realtime ended it: {reason}"))

    def heartbeat_answered(self) -> None:
        """Report the sign of life."""
        self._sink(HeartbeatAnswered(self._generation))

    def channel_ended(self, reason: str) -> None:
        """Report the end of the join."""
        self._lose(LossKind.CHANNEL, ConnectionLostError(f"Realtime ended the channel: {reason}"))

    def socket_ended(self, code: int | None, reason: str) -> None:
        """Report the end of the socket."""
        text = f"The realtime socket closed (code {code}{', ' + reason if reason else ''})"
        self._lose(LossKind.NETWORK, ConnectionLostError(text, code=code))

    # Private.

    def _join_answered(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if self._has_ended:
            return
        match state:
            case RealtimeSubscribeStates.SUBSCRIBED:
                self._sink(DoorbellJoined(self._generation))
            case RealtimeSubscribeStates.CHANNEL_ERROR:
                reason = _reason_of(error)
                code, sentence = parse_reason(reason)
                self._lose(classify_reason(reason), JoinRejectedError(code, sentence))
            case RealtimeSubscribeStates.TIMED_OUT:
                self._lose(LossKind.NETWORK, JoinTimeoutError("The join was not answered"))
            case RealtimeSubscribeStates.CLOSED:
                self._lose(LossKind.CHANNEL, ConnectionLostError("The channel was closed"))

    def _lose(self, kind: LossKind, error: PortalError) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._sink(DoorbellLost(self._generation, kind, error))


def _reason_of(error: Exception | None) -> str:
    """Return the server's reason, which the library hands over as JSON inside an exception."""
    try:
        payload = json.loads(str(error))
    except ValueError:
        return "no reason given"
    answer = as_object(payload)
    return str(payload) if answer is None else str(answer.get("reason", ""))
