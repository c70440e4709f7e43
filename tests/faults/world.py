"""What a fault may touch: the network, the stack, the database, and the customer's devices."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from local_stack.auth.tokens import TokenIssuer
from portal_sdk import PasswordAuth, Portal, PortalConfig, TokenAuth, TransportError
from portal_sdk._runtime import store_keeper
from portal_sdk._store import sqlite, staging
from tests.faults.counters import Counters
from tests.faults.proxy import FaultProxy
from tests.faults.staff import AWAY
from tests.faults.witness import Witness
from tests.support.personas import PASSWORD

CONFIG = PortalConfig(
    verify_interval_s=1.5, heartbeat_interval_s=0.5, heartbeat_timeout_s=0.5, request_timeout_s=2.0,
    ring_grace_s=0.5, poll_interval_s=0.2, join_timeout_s=2.0, backoff_cap_s=1.0,
    stable_after_s=1.0, rate_limit_wait_s=1.0, doorbell_return_s=5.0,
)  # fmt: skip


ATTEMPTS = 10

SMALL_STEPS: list[tuple[Any, str, int]] = [
    (store_keeper, "ROWS_AT_ONCE", 7),
    (staging, "STEP_ROWS", 7),
    (sqlite, "LARGE_BYTES", 1),
]
"""Few rows are a large snapshot under faults, so that its many steps meet them, too."""


class ShortTokens:
    """Hands out access tokens that live for seconds, as an application's own login might."""

    def __init__(self, account: Any, life_s: int) -> None:
        self._account = account
        self._life_s = life_s
        self._issuer = TokenIssuer(account.stack.keys)
        self.is_away = False
        self.issued_count = 0

    def __call__(self) -> str:
        """Return a fresh token, or fail as a login server would that cannot be reached."""
        if self.is_away:
            raise TransportError("the login server is away")
        self.issued_count += 1
        claims = {
            "sub": self._account.user_id, "role": "authenticated", "aud": "authenticated",
        }  # fmt: skip
        return self._issuer.issue(claims, self._life_s)


class Device:
    """One program of the customer: a portal that may end and start again on the same store."""

    def __init__(
        self, account: Any, url: str, config: PortalConfig, witness: Witness, *,
        store: Path | None, auth: Any,
    ) -> None:  # fmt: skip
        self.witness = witness
        self.store = store
        self.portal: Portal | None = None
        self._account, self._url, self._config, self._auth = account, url, config, auth

    async def open(self) -> Portal:
        """Start the program."""
        key = self._account.stack.keys.publishable
        portal = Portal(self._url, key, auth=self._auth, store=self.store, config=self._config)
        if self.store is None:
            self.witness.forget()  # a first snapshot is a starting point and tells no changes
        await portal.__aenter__()
        self.witness.follow(portal)
        self.portal = portal
        return portal

    async def close(self) -> None:
        """End it in order."""
        portal, self.portal = self.portal, None
        if portal is not None:
            await portal.close()

    async def crash(self) -> None:
        """End it as a kill would: nothing is said goodbye to, nothing more is written."""
        portal, self.portal = self.portal, None
        if portal is None:
            return
        assert portal._driver_task is not None
        store = portal._store
        if isinstance(store, sqlite.SqliteStore):
            with store._turn:  # between two steps of a thread
                if store._connection is not None:
                    store._connection.close()
        portal._driver_task.cancel()
        await asyncio.wait([portal._driver_task])
        await portal.close()


@dataclass
class World:
    """One customer's world in one campaign.

    Attributes:
        tampered: Ids of rows that were changed behind the feed's back.
        jobs: Ids of the jobs that the customer sees.
    """

    account: Any
    other: Any
    proxy: FaultProxy
    chance: random.Random
    counters: Counters
    jobs: list[Any]
    tampered: set[str] = field(default_factory=set)
    devices: list[Device] = field(default_factory=list)
    tokens: ShortTokens | None = None

    @property
    def stack(self) -> Any:
        """The running stack."""
        return self.account.stack

    async def hold(self, seconds: float = 1.0) -> None:
        """Leave a fault in place for up to this long, then heal everything."""
        await asyncio.sleep(self.chance.random() * seconds)
        self.heal()

    def heal(self) -> None:
        """Switch every lasting fault off."""
        self.proxy.heal()
        self.stack.faults.reset()
        if self.tokens is not None:
            self.tokens.is_away = False

    async def as_owner(self, sql: str, *, admin: bool = False) -> None:
        """Run SQL as the project's owner, or as superuser; a server that is away is waited for."""
        url = self.stack.admin_database_url if admin else self.stack.database_url
        for attempt in range(ATTEMPTS):
            connection = await connected(url)
            try:
                await connection.execute(sql)
            except AWAY:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return
            finally:
                connection.terminate()

    def each_portal(self, act: Callable[[Portal], object]) -> None:
        """Do something to every open portal."""
        for device in self.devices:
            if device.portal is not None:
                act(device.portal)


async def connected(url: str, timeout_s: float = 30.0) -> Any:
    """Return a connection, however long the server takes within the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return await asyncpg.connect(url)
        except AWAY:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def password_of(account: Any) -> PasswordAuth:
    """Sign in as this customer."""
    return PasswordAuth(account.email, PASSWORD)


def tokens_of(tokens: ShortTokens) -> TokenAuth:
    """Sign in with tokens of the application's own."""
    return TokenAuth(tokens)
