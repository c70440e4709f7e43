"""Uvicorn's WebSocket protocol, telling the server when a client last sent a WebSocket ping.

A Realtime socket is closed after a minute without inbound data, and WebSocket pings count as data;
ASGI does not show them. Pass the class to uvicorn as ``ws``; without it only messages count. Pongs
do not count: they answer the server's own pings, and would keep every idle socket for ever.

Frames and handshakes are never logged, at any level: they carry keys, tokens and rows.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class RealtimeWebSocketProtocol(WebSocketsSansIOProtocol):
    """Keeps the loop time of the last ping of the client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.debug = False  # or DEBUG of its logger shows each request, header and frame
        self.pinged_at_s = 0.0

    def handle_ping(self) -> None:
        """Note the time, then answer."""
        self.pinged_at_s = self.loop.time()
        super().handle_ping()
