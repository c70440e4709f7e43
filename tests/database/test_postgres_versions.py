"""The migrations and the seed apply from nothing on every PostgreSQL that is supported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import asyncpg
import pytest

from portalctl.database.check import check
from portalctl.database.target import Target
from tests.feed.oracle import faults_of_feed
from tests.migrations.catalogue import SECURITY
from tests.support.cluster import (
    MIGRATED,
    REPOSITORY,
    SEEDED,
    Database,
    TestCluster,
    cluster_of,
)
from tests.support.personas import acting_as, customer_id

SCOPE = f"customer:{customer_id(1)}"


async def look(database: Database) -> tuple[str, list[str], list[str], int]:
    db = await asyncpg.connect(database.url)
    try:
        version = await db.fetchval("show server_version_num")
        security = [record["fact"] for record in await db.fetch(SECURITY)]
        faults = await faults_of_feed(db)
        async with db.transaction():
            await acting_as(db, "customer_a")
            answer = json.loads(await db.fetchval("select portal_snapshot($1)", SCOPE))
        async with db.transaction():
            await acting_as(db, "agent")
            await db.execute("select soft_delete('jobs', 'd0000000-0000-4000-8000-000000000001')")
            history = json.loads(
                await db.fetchval(
                    "select row_history('jobs', 'd0000000-0000-4000-8000-000000000001')"
                )
            )
            change = history["entries"][-1]["id"]
            await db.execute(
                "select restore_row('jobs', 'd0000000-0000-4000-8000-000000000001', $1)", change
            )
        faults += await faults_of_feed(db)
    finally:
        await db.close()
    return version, security, faults, len(answer["tables"]["jobs"])


@pytest.fixture(scope="module", params=[15, 16])
def older(request: pytest.FixtureRequest) -> Iterator[tuple[int, TestCluster]]:
    """An older major version, and a cluster of it."""
    with cluster_of(request.param) as cluster:
        yield request.param, cluster


@pytest.mark.slow
def test_an_older_postgresql_gives_the_same_database(
    older: tuple[int, TestCluster], database: Database
) -> None:
    major, cluster = older
    version, security, faults, jobs = asyncio.run(look(cluster.clone(SEEDED, "versions")))
    assert int(version) // 10_000 == major
    _version, expected, newest_faults, newest_jobs = asyncio.run(look(database))
    assert faults == newest_faults == []
    assert jobs == newest_jobs > 0
    # PostgreSQL 17 added the privilege MAINTAIN.
    assert security == [fact for fact in expected if " MAINTAIN " not in fact]


@pytest.mark.slow
def test_another_version_of_postgresql_is_no_drift(older: tuple[int, TestCluster]) -> None:
    """`portalctl rls check` names no difference there."""
    _major, cluster = older
    target = Target(cluster.clone(MIGRATED, "drift").url, "test")
    assert asyncio.run(check(REPOSITORY, target)) == []
