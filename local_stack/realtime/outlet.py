"""Writing frames to a client without a task or a queue per socket.

ASGI's ``send`` wants a coroutine and builds every WebSocket frame anew. A server's frames are the
same bytes for every client, so a broadcast is encoded once and its bytes are written to uvicorn's
transport of each socket. What a client does not read waits in that transport's buffer.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from local_stack.realtime.errors import UnsupportedServerError
from local_stack.realtime.keepalive import RealtimeWebSocketProtocol


def settle_refusal(send: Any) -> None:
    """Tell uvicorn that a handshake answered with HTTP is over, or it logs an error for each."""
    protocol = getattr(send, "__self__", None)
    if isinstance(protocol, WebSocketsSansIOProtocol):
        protocol.handshake_complete = True


class Outlet:
    """The outbound side of one socket. Owner: the socket."""

    __slots__ = ("_protocol",)

    def __init__(self, send: Any) -> None:
        """Find uvicorn's protocol behind an ASGI ``send``.

        Raises:
            UnsupportedServerError: ``send`` is not uvicorn's own, or frames would be compressed.
        """
        protocol = getattr(send, "__self__", None)
        if not isinstance(protocol, WebSocketsSansIOProtocol) or protocol.conn.extensions:
            raise UnsupportedServerError
        self._protocol = protocol

    def write(self, encoded: bytes) -> int:
        """Write an encoded frame and return how many bytes wait for the client now.

        Nothing is written once either side has begun to close.
        """
        protocol = self._protocol
        transport = protocol.transport
        if protocol.close_sent or transport.is_closing():
            return 0
        transport.write(encoded)
        return transport.get_write_buffer_size()

    def abort(self) -> None:
        """Drop the connection without a close frame, whatever waits."""
        self._protocol.transport.abort()

    @property
    def pinged_at_s(self) -> float:
        """Loop time of the client's last WebSocket ping, 0 when there was none."""
        protocol = self._protocol
        return protocol.pinged_at_s if isinstance(protocol, RealtimeWebSocketProtocol) else 0.0
