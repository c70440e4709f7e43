"""WebSocket frames written past ASGI."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from local_stack.realtime.errors import UnsupportedServerError
from local_stack.realtime.outlet import Outlet
from local_stack.realtime.wire import Push, UserBroadcast, Version, encode_frame


@given(st.text() | st.binary())
def test_a_frame_is_what_the_websockets_library_writes(content: str | bytes) -> None:
    opcode = Opcode.TEXT if isinstance(content, str) else Opcode.BINARY
    data = content.encode() if isinstance(content, str) else content
    assert encode_frame(content) == Frame(opcode, data).serialize(mask=False)


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 70_000])
def test_every_form_of_length_is_written(size: int) -> None:
    data = b"x" * size
    assert encode_frame(data) == Frame(Opcode.BINARY, data).serialize(mask=False)


def test_a_push_is_encoded_once_per_version() -> None:
    push = Push("t", "broadcast", None, UserBroadcast("e", b"\xff", is_json=False))
    assert push.encode(Version.V1) is None
    assert push.encode(Version.V2) is push.encode(Version.V2)


async def test_another_asgi_server_is_refused_with_advice() -> None:
    async def send(_message: object) -> None: ...

    with pytest.raises(UnsupportedServerError, match="uvicorn"):
        Outlet(send)
