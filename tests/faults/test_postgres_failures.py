"""F6: PostgreSQL is restarted, restored to an earlier moment, or replaced by its standby."""

from __future__ import annotations

import os
import signal
from typing import Any

import asyncpg
import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.scenario import portals_of_each_kind, shows_the_truth
from tests.faults.standby import Standby
from tests.faults.world import connected
from tests.support.waiting import eventually

HOWS = {"fast": signal.SIGINT, "at once": signal.SIGQUIT, "as a crash": signal.SIGKILL}


async def restarted(customer: Any) -> None:
    """Wait until the server answers, and give the customer a connection that works."""
    customer.database.terminate()
    customer.database = await connected(customer.stack.database_url, 60)


@pytest.mark.soak
@pytest.mark.parametrize("how", HOWS)
async def test_a_restart_of_the_database_is_survived(
    customer: Any, proxy: FaultProxy, how: str
) -> None:
    """Every kind of portal comes back by itself and misses nothing."""
    async with portals_of_each_kind(customer, proxy.url) as portals:
        pid = customer.stack.stack._cluster.pid
        os.kill(pid, HOWS[how])
        await eventually(lambda: customer.stack.stack._cluster.pid not in {pid, None}, 60)
        await restarted(customer)
        await customer.add_job("after the restart")
        for portal in portals.values():
            await shows_the_truth(portal, customer)


async def _replace(stack: Any, old: str, new: str) -> None:
    """Rename databases while nobody is connected, as a restore ends."""
    admin = await asyncpg.connect(stack.admin_database_url.rsplit("/", 1)[0] + "/template1")
    try:
        for name in (old, new):
            await admin.execute(f"alter database {name} with allow_connections false")
            await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name
            )
        await admin.execute(f"drop database {old} with (force)")
        await admin.execute(f"alter database {new} rename to {old}")
        await admin.execute(f"alter database {old} with allow_connections true")
    finally:
        await admin.close()


async def _copy(stack: Any, name: str) -> None:
    """Keep a copy of the database as it is now; whoever is connected is cut."""
    admin = await asyncpg.connect(stack.admin_database_url.rsplit("/", 1)[0] + "/template1")
    try:
        await admin.execute("alter database postgres with allow_connections false")
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'postgres'"
        )
        await admin.execute(f"create database {name} template postgres owner postgres")
        await admin.execute("alter database postgres with allow_connections true")
    finally:
        await admin.close()


@pytest.mark.soak
@pytest.mark.parametrize(
    ("later", "renewed"),
    [(0, False), (1, False), (20, False), (20, True)],
    ids=["head is behind", "head is behind by less", "head has passed", "epoch renewed"],
)
async def test_a_restore_to_an_earlier_moment_is_noticed(
    customer: Any, proxy: FaultProxy, later: int, renewed: bool
) -> None:
    """No portal stays ahead of the server, also when the restored feed has overtaken it."""
    job = await customer.add_job("kept")
    async with portals_of_each_kind(customer, proxy.url) as portals:
        await _copy(customer.stack, "restored")
        await restarted(customer)
        for number in range(5):
            await customer.add_job(f"lost by the restore {number}")
        await customer.rename_job(job, "renamed, and lost")
        for portal in portals.values():
            await shows_the_truth(portal, customer)
        proxy.is_open = False
        proxy.reset_all()
        await _replace(customer.stack, "postgres", "restored")
        await restarted(customer)
        for number in range(later):
            await customer.add_job(f"after the restore {number}")
        if renewed:
            await customer.database.execute("select private.new_sync_epoch()")
        proxy.heal()
        for portal in portals.values():
            await shows_the_truth(portal, customer)
            assert not any("lost" in portal_job.title for portal_job in portal.jobs)


@pytest.mark.soak
async def test_a_promoted_standby_without_the_last_commits_is_noticed(
    customer: Any, proxy: FaultProxy
) -> None:
    """Asynchronous replication may take acknowledged commits back: no portal keeps them."""
    stack, standby = customer.stack, Standby(customer.stack)
    job = await customer.add_job("kept")
    async with portals_of_each_kind(customer, proxy.url) as portals:
        await stack._thread.acall(standby.start())
        await customer.add_job("replicated")
        await stack._thread.acall(standby.cut_off())
        await customer.add_job("lost by the promotion")
        await customer.rename_job(job, "renamed, and lost")
        for portal in portals.values():
            await shows_the_truth(portal, customer)
        await stack._thread.acall(standby.take_over())
        pid = stack.stack._cluster.pid
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: stack.stack._cluster.pid not in {pid, None}, 60)
        await restarted(customer)
        for portal in portals.values():
            await shows_the_truth(portal, customer)
            assert sorted(each.title for each in portal.jobs) == ["kept", "replicated"]
        await customer.add_job("after the promotion")
        for portal in portals.values():
            await shows_the_truth(portal, customer)
