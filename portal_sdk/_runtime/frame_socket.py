"""A socket of the ``websockets`` client that hands each message over in the turn it arrives in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event


class FrameSocket(ClientConnection):
    """Has no queue of messages and no ``recv``: they would cost a future and a turn per message.

    For messages that are taken in at once, so that there is never anything to hold back. How long
    a message may be was checked before, by the protocol; one turn takes in what one reading of the
    socket gave (256 KiB at most), and then everybody else has theirs.

    Args:
        protocol: What ``connect`` gives, as the other options.
        take: Called in the event loop with each whole message, text or binary, as bytes. Must not
            raise: that would end the socket.
    """

    def __init__(
        self, protocol: ClientProtocol, *, take: Callable[[bytes], None], **options: Any
    ) -> None:
        super().__init__(protocol, **options)
        self._take = take
        self._fragments: list[bytes] = []

    def process_event(self, event: Event) -> None:
        """Take a frame in; ``websockets`` calls it, in order."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.fin and not self._fragments:  # as nearly always
            self._take(bytes(event.data))
        else:
            self._fragments.append(bytes(event.data))
            if event.fin:
                message = b"".join(self._fragments)
                self._fragments.clear()
                self._take(message)
