"""Fixtures of the auth tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.auth.auth_api import AuthApi, running_auth_api
from tests.support.cluster import BARE, Database, TestCluster

EMPTY = """
do $$ begin
    execute (
        select format('truncate %s restart identity cascade', string_agg(oid::regclass::text, ', '))
        from pg_class
        where relnamespace = 'auth'::regnamespace and relkind = 'r' and relname !~ 'migrations$'
    );
end $$
"""


@pytest.fixture(scope="module")
def auth_database(cluster: TestCluster) -> Iterator[Database]:
    """A database for the tests of one file, each of which finds it without users."""
    database = cluster.clone(BARE, "auth")
    yield database
    cluster.drop(database)


@pytest.fixture
async def auth_api(auth_database: Database) -> AsyncIterator[AuthApi]:
    """A running auth server; for tests that add rows alone, which are removed."""
    async with running_auth_api(auth_database) as api:
        yield api
        await api.rows(EMPTY)


@pytest.fixture
async def own_auth_api(bare_database: Database) -> AsyncIterator[AuthApi]:
    """A running auth server on a database of this test's own."""
    async with running_auth_api(bare_database) as api:
        yield api
