"""Frames to values and back, without a socket."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.realtime.errors import FrameError
from local_stack.realtime.wire import (
    Inbound,
    Push,
    UserBroadcast,
    Version,
    dump_json,
    parse_binary,
    parse_text,
    render_text,
    render_user_broadcast,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_the_documented_binary_header_is_produced() -> None:
    content = UserBroadcast("message", b"{}", is_json=True)
    frame = render_user_broadcast("realtime:chat-room", content, "m" * 45)
    assert frame is not None
    assert frame[:5] == bytes([0x04, 0x12, 0x07, 0x2D, 0x01])


def test_a_part_over_255_bytes_cannot_be_framed() -> None:
    push = Push("realtime:" + "ä" * 130, "broadcast", "{}", UserBroadcast("e", b"", is_json=True))
    assert push.render(Version.V2) is None
    assert push.render(Version.V1) is not None


def test_a_binary_payload_has_no_text_form() -> None:
    push = Push("t", "broadcast", None, UserBroadcast("e", b"\xff", is_json=False))
    assert push.render(Version.V1) is None


@given(
    st.text(),
    st.text(),
    JSON,
    st.none() | st.text(),
    st.none() | st.text(),
    st.sampled_from(Version),
)
def test_every_rendered_text_frame_is_read_back(
    topic: str, event: str, payload: object, join_ref: str | None, ref: str | None, version: Version
) -> None:
    text = render_text(version, topic, event, dump_json(payload), join_ref=join_ref, ref=ref)
    text.encode()
    expected = Inbound(join_ref if version is Version.V2 else None, ref, topic, event, payload)
    assert parse_text(version, text) == expected


def test_a_lone_surrogate_stays_encodable() -> None:
    value = json.loads('"\\ud800"')
    assert json.loads(dump_json(value).encode()) == value


@given(st.sampled_from(Version), st.text() | JSON.map(json.dumps))
def test_any_text_is_a_message_or_a_frame_error(version: Version, text: str) -> None:
    with contextlib.suppress(FrameError):
        assert isinstance(parse_text(version, text), Inbound)


@given(st.sampled_from(Version), st.binary(max_size=64))
def test_any_bytes_are_a_message_or_a_frame_error(version: Version, data: bytes) -> None:
    with contextlib.suppress(FrameError):
        assert isinstance(parse_binary(version, data), Inbound)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "NaN", ""])
def test_hostile_text_is_a_frame_error(text: str) -> None:
    with pytest.raises(FrameError):
        parse_text(Version.V2, text)
