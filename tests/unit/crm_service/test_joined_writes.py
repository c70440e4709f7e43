"""Head and body leave together; nothing waits for longer than a turn of the event loop."""

import asyncio

import pytest

from crm_service.joined_writes import JoinedWrites


class Transport(asyncio.Transport):
    """Remembers what is done to it."""

    def __init__(self):
        super().__init__()
        self.done = []

    def write(self, data):
        self.done.append(bytes(data))

    def close(self):
        self.done.append("close")

    def is_closing(self):
        return False


@pytest.fixture
async def pair():
    under = Transport()
    return JoinedWrites(under), under.done


async def test_two_pieces_are_one_write(pair):
    """The body takes the head along, at once."""
    joined, done = pair
    joined.write(b"head")
    assert done == []
    joined.write(b"body")
    assert done == [b"headbody"]
    await asyncio.sleep(0)
    assert done == [b"headbody"]


async def test_a_head_alone_leaves_with_the_turn(pair):
    """An event stream's head is there before its first event."""
    joined, done = pair
    joined.write(b"head")
    await asyncio.sleep(0)
    assert done == [b"head"]
    joined.write(b"event")
    await asyncio.sleep(0)
    assert done == [b"head", b"event"]


async def test_the_empty_body_of_a_head_request_is_no_write_of_its_own(pair):
    """Nor does it hold the head back."""
    joined, done = pair
    joined.write(b"head")
    joined.write(b"")
    assert done == [b"head"]
    joined.write(b"")
    await asyncio.sleep(0)
    assert done == [b"head"]


async def test_what_waits_goes_before_anything_else(pair):
    """Closing, or asking the transport for something, except whether it closes."""
    joined, done = pair
    joined.write(b"last")
    joined.close()
    assert done == [b"last", "close"]
    joined.write(b"more")
    assert joined.is_closing() is False
    assert done[2:] == []
    assert joined.get_extra_info("peername") is None
    assert done[2:] == [b"more"]
