"""A Realtime server per test, on a database with the platform alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from local_stack.realtime import RealtimeConfig
from tests.spec.realtime.harness import Project, running_project


@pytest.fixture
async def project(bare_database: Any, request: pytest.FixtureRequest) -> AsyncIterator[Project]:
    """A running server; indirect parametrization with a RealtimeConfig sets it up."""
    config = getattr(request, "param", None) or RealtimeConfig()
    async with running_project(bare_database.admin_url, bare_database.url, config) as running:
        yield running
