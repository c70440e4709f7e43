"""The doorbell of staff: a private Realtime channel that rings when something was written.

A ring carries no data and may be lost; it only says that it is worth looking. So this client
does the least that works: join, heartbeat, set an event; on any doubt a new socket.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from crm_service.auth import Subject

logger = logging.getLogger(__name__)

_TOPIC = "realtime:staff:activity"
_HEARTBEAT_S = 25.0
_OPEN_TIMEOUT_S = 10.0
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Doorbell:
    """Ring ``rung`` whenever Realtime says so, and whenever a ring may have been missed.

    Args:
        url: Address of the Realtime socket.
        api_key: Publishable key, for the gateway.
        subject: Whose token joins the channel; policies decide whether it may.
    """

    def __init__(self, url: str, api_key: str, subject: Subject) -> None:
        self._url = f"{url}?{urlencode({'apikey': api_key, 'vsn': '1.0.0'})}"
        self._subject = subject
        self.rung = asyncio.Event()
        self.live = False

    async def run(self) -> None:
        """Listen until cancelled; sockets that break are replaced, ever more slowly."""
        failures = 0
        while True:
            try:
                async with connect(self._url, open_timeout=_OPEN_TIMEOUT_S) as socket:
                    await self._join(socket)
                    failures = 0
                    # Whatever happened before the join rang for nobody.
                    self.live = True
                    self.rung.set()
                    await self._listen(socket)
            except (OSError, TimeoutError, WebSocketException, ValueError) as error:
                logger.info("doorbell lost", extra={"reason": type(error).__name__})
            finally:
                self.live = False
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def _join(self, socket: ClientConnection) -> None:
        token = self._subject.token.get_secret_value()
        payload = {"config": {"private": True}, "access_token": token}
        await _send(socket, _TOPIC, "phx_join", payload, ref="1", join_ref="1")
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            while True:
                message = json.loads(await socket.recv())
                if message.get("ref") == "1" and message.get("event") == "phx_reply":
                    break
        if message["payload"].get("status") != "ok":
            raise ValueError("the channel refused the join")

    async def _listen(self, socket: ClientConnection) -> None:
        ref = 1
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    message = json.loads(await socket.recv())
            except TimeoutError:
                ref += 1
                await _send(socket, "phoenix", "heartbeat", {}, ref=str(ref))
                continue
            if message.get("topic") != _TOPIC:
                continue
            if message.get("event") == "broadcast":
                self.rung.set()
            elif message.get("event") in {"phx_close", "phx_error"}:
                raise ValueError("the channel was closed")


async def _send(
    socket: ClientConnection,
    topic: str,
    event: str,
    payload: Mapping[str, object],
    *,
    ref: str,
    join_ref: str | None = None,
) -> None:
    frame = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
    await socket.send(json.dumps(frame))
