"""Random faults on every path while staff write; afterwards the cache must equal the database."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from portal_sdk import PasswordAuth, Portal, PortalConfig
from portal_sdk.types import DoorbellKind
from tests.faults.proxy import FaultProxy
from tests.faults.witness import Counters, Freshness, Witness, cached_rows
from tests.integration.portal_sdk.conftest import PASSWORD, Account
from tests.support.waiting import eventually

CONFIG = PortalConfig(
    verify_interval_s=1.5, heartbeat_interval_s=0.5, heartbeat_timeout_s=0.5, request_timeout_s=2.0,
    ring_grace_s=0.5, poll_interval_s=0.2, join_timeout_s=2.0, backoff_cap_s=1.0,
    stable_after_s=1.0, rate_limit_wait_s=1.0, doorbell_return_s=5.0,
)  # fmt: skip
ALLOWED_BEHIND_S = CONFIG.verify_interval_s + CONFIG.request_timeout_s + CONFIG.lag_grace_s
STUCK_AFTER_S = 30.0
TABLES = ("customers", "jobs", "invoices", "messages", "loyalty_transactions")


class Campaign:
    """One customer with one portal behind a bad network, and staff who keep writing."""

    def __init__(
        self, account: Account, other: Account, proxy: FaultProxy, store: Path, *, seed: int,
        doorbells: tuple[DoorbellKind, ...],
    ) -> None:  # fmt: skip
        self.counters = Counters()
        self._account, self._other, self._proxy, self._store = account, other, proxy, store
        self._random = random.Random(seed)
        settings = {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}
        self._config = PortalConfig(**{**settings, "doorbells": doorbells})
        self._witness = Witness(str(account.customer_id), self.counters)
        self._freshness = Freshness(ALLOWED_BEHIND_S, self.counters)
        self._jobs: list[Any] = []
        self._portal: Portal | None = None
        self._faults: list[Callable[[], Awaitable[None]]] = [
            self._reset, self._finish, self._drop_sockets, self._refuse, self._black_hole,
            self._jitter, self._dribble, self._hang, self._http_down, self._http_hang,
            self._lose_rings, self._refuse_sockets, self._refuse_joins, self._kill_backends,
            self._expire_epoch, self._prune, self._vanish, self._restart_portal, self._pause,
        ]  # fmt: skip

    async def run(self, *, fault_count: int, write_count: int) -> Counters:
        """Run until so many faults and writes were made; heal, wait, compare."""
        for _ in range(5):
            self._jobs.append(await self._account.add_job())
        await self._open_portal()
        assert self._portal is not None
        await self._portal.ready()
        done = asyncio.Event()
        writing = asyncio.create_task(self._write(write_count, done), name="staff")
        watching = asyncio.create_task(self._watch(), name="watch")
        try:
            while self.counters.faults < fault_count or not done.is_set():
                await self._random.choice(self._faults)()
                self.counters.faults += 1
                await asyncio.sleep(self._random.random() * 0.05)
                if writing.done():
                    writing.result()
            await writing
            await self._judge()
        finally:
            for task in (writing, watching):
                task.cancel()
            await asyncio.gather(writing, watching, return_exceptions=True)
            await self._close_portal()
            await self._witness.stop()
        return self.counters

    # Staff.

    async def _write(self, count: int, done: asyncio.Event) -> None:
        database = await asyncpg.connect(self._account.stack.database_url)
        try:
            for number in range(count):
                for _attempt in range(50):
                    try:
                        await self._write_once(database, number)
                        break
                    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                        if database.is_closed():
                            database = await asyncpg.connect(self._account.stack.database_url)
                self.counters.writes += 1
                if number % 8 == 0:
                    await asyncio.sleep(self._random.random() * 0.4)
        finally:
            done.set()
            await database.close()

    async def _write_once(self, database: Any, number: int) -> None:
        step, job = self._random.random(), self._random.choice(self._jobs)
        customer = self._account.customer_id
        if step < 0.7:
            await database.execute("update jobs set title = $2 where id = $1", job, f"t{number}")
        elif step < 0.8:
            made = await database.fetchval(
                "insert into jobs (customer_id, title) values ($1, 'new') returning id", customer
            )
            self._jobs.append(made)
        elif step < 0.88 and len(self._jobs) > 3:
            self._jobs.remove(job)
            async with database.transaction():  # shown and taken back within one transaction, too
                await database.execute("update jobs set title = 'last' where id = $1", job)
                await database.execute("update jobs set deleted_at = now() where id = $1", job)
        elif step < 0.93:
            async with database.transaction():  # to another customer and back: a leak if it shows
                for owner in (self._other.customer_id, customer):
                    await database.execute(
                        "update jobs set customer_id = $2 where id = $1", job, owner
                    )
        else:
            transaction = database.transaction()
            await transaction.start()
            await database.execute("update jobs set title = 'never' where id = $1", job)
            await transaction.rollback()
        n = await database.fetchval(
            "select n from sync_scopes where scope = $1", self._account.scope
        )
        self._freshness.committed(n)

    async def _watch(self) -> None:
        while True:
            if self._portal is not None:
                self._freshness.look(self._portal)
            await asyncio.sleep(0.05)

    # The portal's process.

    async def _open_portal(self) -> None:
        auth = PasswordAuth(self._account.email, PASSWORD)
        key = self._account.stack.keys.publishable
        portal = Portal(self._proxy.url, key, auth=auth, store=self._store, config=self._config)
        await portal.__aenter__()
        self._witness.follow(portal)
        self._portal = portal

    async def _close_portal(self) -> None:
        portal, self._portal = self._portal, None
        if portal is not None:
            await portal.close()

    # Faults. Each heals what it broke after a moment.

    async def _hold(self, seconds: float = 1.0) -> None:
        await asyncio.sleep(self._random.random() * seconds)
        self._proxy.heal()
        self._account.stack.faults.reset()

    async def _reset(self) -> None:
        self._proxy.reset_all()

    async def _finish(self) -> None:
        self._proxy.finish_all()

    async def _drop_sockets(self) -> None:
        self._account.stack.faults.drop_sockets()

    async def _refuse(self) -> None:
        self._proxy.is_open = False
        self._proxy.reset_all()
        await self._hold()

    async def _black_hole(self) -> None:
        self._proxy.is_black_hole = True
        await self._hold(2.5)

    async def _jitter(self) -> None:
        self._proxy.delay_s = 0.2
        await self._hold()

    async def _dribble(self) -> None:
        self._proxy.dribble = True
        await self._hold(0.5)

    async def _hang(self) -> None:
        self._account.stack.faults.hang = True
        await self._hold(1.5)

    async def _http_down(self) -> None:
        self._account.stack.faults.http_refuse = self._random.choice([500, 503, 429])
        await self._hold()

    async def _http_hang(self) -> None:
        self._account.stack.faults.http_hang = True
        await self._hold(2.5)

    async def _lose_rings(self) -> None:
        self._account.stack.faults.lose_doorbells = True
        await self._hold(2.0)

    async def _refuse_sockets(self) -> None:
        self._account.stack.faults.refuse_connects = 503
        self._proxy.reset_all()
        await self._hold()

    async def _refuse_joins(self) -> None:
        reasons = ["Unauthorized: You do not have permissions", "ConnectionRateLimitReached: slow"]
        self._account.stack.faults.refuse_joins = self._random.choice(reasons)
        self._account.stack.faults.drop_sockets()
        await self._hold()

    async def _kill_backends(self) -> None:
        await self._as_owner(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'authenticator'",
            admin=True,
        )

    async def _expire_epoch(self) -> None:
        await self._as_owner(f"select private.new_sync_epoch('{self._account.scope}')")

    async def _prune(self) -> None:
        await self._as_owner("select private.prune_sync_changes('0 seconds', 10000)")

    async def _vanish(self) -> None:
        """A row changes and no trigger runs, as in a restore."""
        await self._as_owner(
            "begin; set local session_replication_role = replica;"
            " update jobs set title = 'restored',"
            f" version = version + 1 where id = '{self._random.choice(self._jobs)}'; commit",
            admin=True,
        )

    async def _restart_portal(self) -> None:
        await self._close_portal()
        await self._open_portal()

    async def _pause(self) -> None:
        if self._portal is not None:
            self._portal.pause()
            await asyncio.sleep(self._random.random() * 0.1)
            self._portal.resume()

    async def _as_owner(self, sql: str, *, admin: bool = False) -> None:
        stack = self._account.stack
        connection = await asyncpg.connect(
            stack.admin_database_url if admin else stack.database_url
        )
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    # The end.

    async def _judge(self) -> None:
        self._proxy.heal()
        self._account.stack.faults.reset()
        portal = self._portal
        assert portal is not None
        portal.resume()
        try:
            await eventually(lambda: portal.status.state == "live", STUCK_AFTER_S)
        except AssertionError:
            self.counters.stuck += 1
            self.counters.details.append(f"stuck: {portal.status}")
        truth = await self._truth()
        try:
            await eventually(lambda: cached_rows(portal) == truth, STUCK_AFTER_S)
        except AssertionError:
            mine = cached_rows(portal)
            wrong = [key for key in truth.keys() | mine.keys() if truth.get(key) != mine.get(key)]
            self.counters.lost += len(wrong)
            self.counters.details += [f"differs: {key}" for key in wrong[:5]]
        self._witness.check()

    async def _truth(self) -> dict[tuple[str, str], Any]:
        """Every row as the customer's own select gives it, in one snapshot."""
        connection = await asyncpg.connect(self._account.stack.database_url)
        try:
            async with connection.transaction(isolation="repeatable_read"):
                claims = {"sub": self._account.user_id, "role": "authenticated"}
                await connection.execute(
                    "select set_config('request.jwt.claims', $1, true)", json.dumps(claims)
                )
                await connection.execute("set local role authenticated")
                text = await connection.fetchval(
                    "select portal_snapshot($1)::text", self._account.scope
                )
                tables = json.loads(text)["tables"]
                for table in TABLES:
                    found = await connection.fetch(f"select id from {table}")
                    assert {str(row["id"]) for row in found} == {r["id"] for r in tables[table]}
        finally:
            await connection.close()
        return {(t, row["id"]): row for t, rows in tables.items() for row in rows}
