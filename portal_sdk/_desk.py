"""WriteDesk: everything about local writes that one portal holds together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from portal_sdk._core.connection_table import LinkState
from portal_sdk._core.events import DoorbellRang, Event
from portal_sdk._core.overlay import Overlay, Shift
from portal_sdk._core.session import PortalCore
from portal_sdk._core.write import Entry, Write
from portal_sdk._runtime.delivery import Subscribers
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.outbox import OutboxRunner
from portal_sdk._runtime.server_clock import ServerClock
from portal_sdk._runtime.threads import check_loop
from portal_sdk._store import SqliteStore, Store
from portal_sdk._store.outbox import MemoryOutbox, SqliteOutbox
from portal_sdk.config import PortalConfig
from portal_sdk.errors import PortalClosedError, PortalError, StateError
from portal_sdk.metrics import MetricsRecorder
from portal_sdk.types import Row
from portal_sdk.writes import Outbox, PendingWrite

RESTING = frozenset({LinkState.PAUSED, LinkState.BLOCKED, LinkState.CLOSED})


class WriteDesk:
    """Takes writes from the tables, and lets the outbox act on the portal.

    Attributes:
        overlay: What the tables show.
        runner: Keeps and sends the writes.
        outbox: The writes as the application sees them.
    """

    def __init__(
        self,
        core: PortalCore,
        config: PortalConfig,
        project: str,
        *,
        record: Callable[[str, str], Any],
        refusals: Subscribers[PendingWrite[Any]],
        publish: Callable[[list[Shift]], None],
        progressed: Callable[[], None],
        recorder: MetricsRecorder,
        clock: ServerClock,
    ) -> None:
        self._clock = clock
        self.overlay = Overlay(lambda: core.replica.tables)
        self.runner = OutboxRunner(config, self.overlay, self)
        self.outbox = Outbox(self.runner, record, refusals)
        self._core = core
        self._project = project
        self._publish = publish
        self._progressed = progressed
        self._recorder = recorder
        self._post: Callable[[Event], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # For the portal.

    def start(self, http: HttpApi, store: Store) -> None:
        """Take the way to the database and the place to keep writes."""
        if isinstance(store, SqliteStore):
            self.runner.start(http, SqliteOutbox(store.database))
        else:
            self.runner.start(http, MemoryOutbox())

    def connect(self, post: Callable[[Event], None] | None) -> None:
        """Take the driver's inbox, or None when the portal is closed."""
        self._post = post
        self._loop = asyncio.get_running_loop()

    def steer(self, has_become_live: bool, *, is_telling: bool) -> None:
        """Tell the outbox whose writes it has, and whether they can be sent now.

        While changes are yet to be told, each is folded under the local writes in its turn.
        """
        core = self._core
        scope = core.sync.scope
        owner = f"{self._project} {core.user_id} {scope}" if core.user_id and scope else None
        if owner != self.runner.owner:
            self.outbox.clear()
            self.runner.open(owner)
        if not is_telling:
            self.runner.refresh()
        is_allowed = bool(owner and core.token) and core.connection.state not in RESTING
        self.runner.allow(is_allowed=is_allowed)
        if has_become_live:
            self.runner.hurry()

    async def close(self) -> None:
        """Stop sending and end the handles; what is not over stays in the store."""
        await self.runner.close()
        self.connect(None)
        self.outbox.close()

    # For the tables.

    @property
    def scope(self) -> str:
        """The feed scope of the signed-in customer.

        Raises:
            StateError: It is not known yet, the portal is closed, or this is not its event loop.
        """
        if self._post is None:
            raise PortalClosedError("The portal is closed, or was never entered")
        check_loop(self._loop)
        if self.runner.owner is None:
            raise StateError("The customer is not known yet: await portal.ready() first")
        return self._core.sync.scope

    @property
    def user_id(self) -> str | None:
        """The signed-in user."""
        return self._core.user_id

    def database_now(self) -> str:
        """Return the time by the database's clock, ISO 8601 in UTC."""
        return self._clock.now().isoformat()

    def shown_row(self, table: str, row_id: str) -> Row | None:
        """Return a row as it is shown."""
        return self.overlay.row(table, row_id)

    def submit(self, write: Write) -> PendingWrite[Any]:
        """Keep, show and send a write.

        Raises:
            StoreError: It could not be kept.
        """
        handle = self.outbox.add(self.runner.submit(write))
        self._recorder.write_submitted()
        self._progressed()
        return handle

    # For the outbox.

    def shown(self, shifts: list[Shift]) -> None:
        """Rows are shown differently because of local writes."""
        self._publish(shifts)

    def write_moved(self, entry: Entry, error: PortalError | None) -> None:
        """A write has another state."""
        self.outbox.move(entry, error)
        is_refusal = error is not None
        self._recorder.write_moved(entry.state, entry.write.made_at, is_refusal=is_refusal)
        self._progressed()

    def poke_feed(self) -> None:
        """Read the feed once."""
        if self._post is not None:
            self._post(DoorbellRang(self._core.connection.generation))

    def base_row(self, table: str, row_id: str) -> Row | None:
        """Return the row as the feed has it."""
        return self._core.replica.tables.get(table, {}).get(row_id)

    def access_token(self) -> str:
        """Return the newest access token."""
        return self._core.token or ""
