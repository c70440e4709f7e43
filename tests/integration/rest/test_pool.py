"""How the REST server's pool lends its connections, on a real database."""

import asyncio

import asyncpg
import pytest

from local_stack.rest.config import RestConfig
from local_stack.rest.errors import UnavailableError
from local_stack.rest.execute import _BEGIN
from local_stack.rest.pool import ConnectionPool
from tests.integration.rest.conftest import Made
from tests.support.waiting import eventually


class WatchedPool(ConnectionPool):
    """Counts how many connections are being opened at the same time."""

    opening = most_opening = opened = 0
    is_refusing = False

    async def connect(self):
        self.opening += 1
        self.most_opening = max(self.most_opening, self.opening)
        try:
            if self.is_refusing:
                raise UnavailableError("PGRST000")
            connection = await super().connect()
        finally:
            self.opening -= 1
        self.opened += 1
        return connection


@pytest.fixture(scope="module")
def dsn(cluster):
    """A database to connect to."""
    database = Made(cluster).database("rest_pool")
    yield database.url_as("authenticator")
    cluster.drop(database)


@pytest.fixture
async def pool(dsn):
    """A pool of three."""
    made = WatchedPool(dsn, RestConfig(pool_size=3, pool_timeout_s=5))
    yield made
    await made.close()


async def use(pool):
    connection = await pool.acquire()
    try:
        await connection.fetch("select 1")
    finally:
        pool.release(connection)


async def test_a_burst_opens_one_connection_at_a_time(pool):
    await asyncio.gather(*(use(pool) for _ in range(30)))
    assert pool.most_opening == 1
    assert 1 <= pool.opened <= 3


async def test_it_grows_to_its_size_while_nothing_is_given_back(pool):
    held = await asyncio.gather(*(pool.acquire() for _ in range(3)))
    assert len(set(held)) == 3
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    assert not waiting.done()
    pool.release(held[1])
    assert await waiting is held[1]
    assert pool.opened == 3
    for connection in held:
        pool.release(connection)


async def test_a_connection_handed_to_somebody_who_left_goes_to_the_next(pool):
    held = [await pool.acquire() for _ in range(3)]
    leaving, staying = (asyncio.create_task(pool.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    pool.release(held[0])  # handed over now, and not taken any more
    leaving.cancel()
    assert await staying is held[0]
    assert leaving.cancelled()
    for connection in held:
        pool.release(connection)


async def test_a_broken_connection_makes_room_for_another(pool):
    held = [await pool.acquire() for _ in range(3)]
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    pool.discard(held[0])
    assert await waiting not in held
    for connection in (*held[1:], waiting.result()):
        pool.release(connection)


async def test_where_none_can_be_opened_the_others_are_waited_for(pool):
    held = await pool.acquire()
    pool.is_refusing = True
    waiting = asyncio.create_task(pool.acquire())
    await eventually(lambda: pool._opening is None)
    assert not waiting.done()
    pool.release(held)
    assert await waiting is held
    pool.discard(held)
    with pytest.raises(UnavailableError, match="PGRST000"):
        await pool.acquire()
    pool.is_refusing = False
    await use(pool)


async def test_closing_refuses_who_waits_and_ends_what_is_opening(pool):
    held = await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    await pool.close()
    with pytest.raises(UnavailableError):
        await waiting
    assert held.is_closed()
    assert pool.opening == 0
    with pytest.raises(UnavailableError):
        await pool.acquire()


async def test_the_first_request_of_a_connection_asks_the_server_for_no_types(pool, monkeypatch):
    """The driver's question takes longer than all the rest of a first request."""

    async def ask(*_arguments):
        raise AssertionError("types are asked for")

    connection = await pool.acquire()
    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", ask)
    await connection.prepare(_BEGIN)
    pool.release(connection)
