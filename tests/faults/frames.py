"""WebSocket frames as a server sends them (RFC 6455 5.2): unmasked, no extensions."""

from __future__ import annotations

import struct
from dataclasses import dataclass

CONTINUATION, TEXT, CLOSE = 0x0, 0x1, 0x8
_FINAL = 0x80
_SHORT, _MEDIUM = 126, 127


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; ``is_final`` is false for all but the last piece of a message."""

    opcode: int
    payload: bytes
    is_final: bool = True

    def encode(self) -> bytes:
        """Return the bytes on the wire."""
        first = self.opcode | (_FINAL if self.is_final else 0)
        size = len(self.payload)
        if size < _SHORT:
            head = struct.pack("!BB", first, size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", first, _SHORT, size)
        else:
            head = struct.pack("!BBQ", first, _MEDIUM, size)
        return head + self.payload


def take_frames(buffer: bytearray) -> list[Frame]:
    """Remove every whole frame from the front of the buffer and return them."""
    frames: list[Frame] = []
    while (found := _take_one(buffer)) is not None:
        frames.append(found)
    return frames


def close_frame(code: int) -> Frame:
    """Return the frame with which a server says goodbye."""
    return Frame(CLOSE, struct.pack("!H", code))


def in_pieces(frame: Frame, size: int) -> list[Frame]:
    """Return a message as many frames of a few bytes each."""
    pieces = [frame.payload[at : at + size] for at in range(0, len(frame.payload), size)] or [b""]
    return [
        Frame(frame.opcode if number == 0 else CONTINUATION, piece, number == len(pieces) - 1)
        for number, piece in enumerate(pieces)
    ]


def _take_one(buffer: bytearray) -> Frame | None:
    if len(buffer) < 2:
        return None
    size, start = buffer[1] & 0x7F, 2
    if size == _SHORT:
        start = 4
    elif size == _MEDIUM:
        start = 10
    if len(buffer) < start:
        return None
    if start > 2:
        size = int.from_bytes(buffer[2:start], "big")
    if len(buffer) < start + size:
        return None
    frame = Frame(buffer[0] & 0x0F, bytes(buffer[start : start + size]), bool(buffer[0] & _FINAL))
    del buffer[: start + size]
    return frame
