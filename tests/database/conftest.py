"""Fixtures of the database tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.database.callers import Connection, connect
from tests.support.cluster import Database


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Connection]:
    """The owner's connection to a seeded database of this test's own."""
    connection = await connect(database)
    yield connection
    await connection.close()
