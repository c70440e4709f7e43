"""One Realtime socket of one event stream: the doorbell, who is online, and what a room says.

A ring carries no data and may be lost; it only says that it is worth looking. So this client
does the least that works: join, heartbeat, set an event; on any doubt a new socket.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from crm_service.auth import Subject
from crm_service.events.roster import Roster

logger = logging.getLogger(__name__)

STAFF_TOPIC = "staff:activity"
_HEARTBEAT_S = 25.0
_OPEN_TIMEOUT_S = 10.0
# Nobody waits for the farewell of a server that is silent.
_CLOSE_TIMEOUT_S = 1.0
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_MAX_WAITING = 200
FAILURES = (OSError, TimeoutError, WebSocketException, ValueError)
"""What talking to Realtime may raise."""


class Doorbell:
    """Ring ``rung`` whenever Realtime says so, and whenever a ring may have been missed.

    Args:
        url: Address of the Realtime socket.
        api_key: Publishable key, for the gateway.
        subject: Whose token joins the channels; policies decide whether it may.
        says: What colleagues see of the caller while the stream is open; None stays unseen.
        room: Topic of a customer's room to listen to, too.

    Attributes:
        rung: Set when it is worth looking.
        live: Whether the channels are joined.
        online: Colleagues, by their entries.
        in_room: Who is in the room.
        heard: What was said in the room, oldest first; the oldest go when nobody takes them.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        subject: Subject,
        *,
        says: Mapping[str, Any] | None = None,
        room: str | None = None,
    ) -> None:
        self._url = _address(url, api_key)
        self._subject = subject
        self._says = says
        self._room = room
        self.rung = asyncio.Event()
        self.live = False
        self.online = Roster()
        self.in_room = Roster()
        self.heard: deque[tuple[str, Any]] = deque(maxlen=_MAX_WAITING)

    async def run(self) -> None:
        """Listen until cancelled; sockets that break are replaced, ever more slowly."""
        failures = 0
        while True:
            try:
                async with _connected(self._url) as socket:
                    await self._join_all(socket)
                    failures = 0
                    # Whatever happened before the join rang for nobody.
                    self.live = True
                    self.rung.set()
                    try:
                        await self._listen(socket)
                    finally:
                        self.live = False
            except FAILURES as error:
                logger.info("doorbell lost", extra={"reason": type(error).__name__})
            finally:
                self.rung.set()
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def _join_all(self, socket: ClientConnection) -> None:
        key = str(self._subject.user_id)
        for number, topic in enumerate(filter(None, (STAFF_TOPIC, self._room)), start=1):
            await _join(socket, topic, self._subject, str(number), key, self._take)
        if self._says is not None:
            track = {"type": "presence", "event": "track", "payload": dict(self._says)}
            await _send(socket, STAFF_TOPIC, "presence", track, ref="track", join_ref="1")

    async def _listen(self, socket: ClientConnection) -> None:
        ref = 100
        unanswered = False
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    frame = await socket.recv()
            except TimeoutError:
                if unanswered:
                    # Open, and yet nobody is there: without this it would be "live" for ever.
                    raise
                unanswered = True
                ref += 1
                await _send(socket, None, "heartbeat", {}, ref=str(ref))
            else:
                unanswered = False
                self._take(json.loads(frame))

    def _take(self, message: Mapping[str, Any]) -> None:
        """Take a frame in.

        Raises:
            ValueError: A channel was closed.
        """
        topic = str(message.get("topic")).removeprefix("realtime:")
        event, payload = message.get("event"), message.get("payload")
        if topic not in {STAFF_TOPIC, self._room} or not isinstance(payload, dict):
            return
        if event in {"phx_close", "phx_error"}:
            raise ValueError("the channel was closed")
        if event in {"presence_state", "presence_diff"}:
            roster = self.online if topic == STAFF_TOPIC else self.in_room
            roster.take(str(event), payload)
            self.rung.set()
        elif event == "broadcast":
            if topic == self._room:
                self.heard.append((str(payload.get("event")), payload.get("payload")))
            self.rung.set()


async def read_presence(url: str, api_key: str, subject: Subject, topic: str) -> Roster:
    """Look into a room once, without being seen.

    Raises:
        OSError, TimeoutError, WebSocketException: Realtime does not answer.
        ValueError: It refused the join.
    """
    roster = Roster()
    known = asyncio.Event()

    def take(message: Mapping[str, Any]) -> None:
        if message.get("event") == "presence_state":
            roster.take("presence_state", message["payload"])
            known.set()

    async with (
        asyncio.timeout(_OPEN_TIMEOUT_S),
        _connected(_address(url, api_key)) as socket,
    ):
        await _join(socket, topic, subject, "1", str(subject.user_id), take)
        while not known.is_set():
            take(json.loads(await socket.recv()))
    return roster


async def _join(
    socket: ClientConnection, topic: str, subject: Subject, ref: str, key: str, take: Any
) -> None:
    """Join a channel; frames that come before the answer are handed to ``take``."""
    config = {"private": True, "presence": {"enabled": True, "key": key}}
    payload = {"config": config, "access_token": subject.token.get_secret_value()}
    await _send(socket, topic, "phx_join", payload, ref=ref, join_ref=ref)
    async with asyncio.timeout(_OPEN_TIMEOUT_S):
        while True:
            message = json.loads(await socket.recv())
            if message.get("ref") == ref and message.get("event") == "phx_reply":
                break
            take(message)
    if message["payload"].get("status") != "ok":
        raise ValueError("the channel refused the join")


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[ClientConnection]:
    # No proxy of the environment, as in all other calls to Supabase.
    async with connect(
        address, open_timeout=_OPEN_TIMEOUT_S, close_timeout=_CLOSE_TIMEOUT_S, proxy=None
    ) as socket:
        try:
            yield socket
        finally:
            # Whose caller left is cancelled in the farewell, too: without the last line the socket
            # stays open, full of frames that nobody reads, until the garbage is collected.
            try:
                await socket.close()
            finally:
                socket.transport.abort()


def _address(url: str, api_key: str) -> str:
    return f"{url}?{urlencode({'apikey': api_key, 'vsn': '1.0.0'})}"


async def _send(
    socket: ClientConnection,
    topic: str | None,
    event: str,
    payload: Mapping[str, object],
    *,
    ref: str,
    join_ref: str | None = None,
) -> None:
    name = "phoenix" if topic is None else f"realtime:{topic}"
    frame = {"topic": name, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
    await socket.send(json.dumps(frame))
