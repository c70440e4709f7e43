"""Fixtures of the auth tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.auth.auth_api import AuthApi, running_auth_api
from tests.support.cluster import Database


@pytest.fixture
async def auth_api(bare_database: Database) -> AsyncIterator[AuthApi]:
    """A running auth server on a database of its own."""
    async with running_auth_api(bare_database) as api:
        yield api
