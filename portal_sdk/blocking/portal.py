"""The portal for plain threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from portal_sdk._runtime.loop_thread import LoopThread
from portal_sdk._runtime.tokens import Auth
from portal_sdk.blocking.rooms import BroadcastRoom, PresenceRoom
from portal_sdk.blocking.streams import BlockingStream
from portal_sdk.blocking.tables import Jobs, Loyalty, Messages, Profile, Table
from portal_sdk.blocking.writes import Outbox
from portal_sdk.config import PortalConfig
from portal_sdk.errors import PortalClosedError, StateError
from portal_sdk.metrics import PortalMetrics
from portal_sdk.models import Customer, Invoice
from portal_sdk.portal import Portal as AsyncPortal
from portal_sdk.types import Change, Row, SyncState, SyncStatus

CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])


class Portal:
    """One signed-in customer's live data, without asyncio. Use it with ``with``.

    Args:
        url: The project URL.
        key: The project's publishable (or anon) key.
        auth: ``PasswordAuth`` or ``TokenAuth``.
        store: Path of a file that keeps rows and unsent writes between runs; None is memory.
        config: Durations and limits.

    Raises:
        ConfigurationError: An argument cannot be right.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        auth: Auth,
        store: str | Path | None = None,
        config: PortalConfig | None = None,
    ) -> None:
        self._portal = AsyncPortal(url, key, auth=auth, store=store, config=config)
        self._running: LoopThread | None = None

    def __enter__(self) -> Self:
        if self._portal.status.state is SyncState.CLOSED:
            raise PortalClosedError("The portal is closed; make a new one")
        if self._running is not None:
            raise StateError("A portal is entered once; make a new one")
        portal = self._portal
        self._running = thread = LoopThread("portal-loop")
        try:
            thread.run(portal.__aenter__)
        except BaseException:
            thread.stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the portal and end its thread; iterators end. Calling it twice is harmless."""
        thread = self._running
        if thread is None:  # before it was entered: final, too
            self._running = thread = LoopThread("portal-loop")
        try:
            thread.run(self._portal.close)
        except StateError:
            return  # closed before
        thread.stop()

    def ready(self, *, timeout_s: float = 10.0) -> None:
        """Wait until the snapshot is applied and the feed is live.

        Raises:
            AuthError, ReadyTimeoutError, PortalClosedError: As in ``portal_sdk.Portal.ready``.
        """
        self._thread.run(lambda: self._portal.ready(timeout_s=timeout_s))

    def pause(self) -> None:
        """Close the connection; rows stay readable."""
        self._thread.call(self._portal.pause)

    def resume(self) -> None:
        """Connect again."""
        self._thread.call(self._portal.resume)

    # Tables.

    @cached_property
    def jobs(self) -> Jobs:
        """The customer's jobs."""
        return Jobs(self._thread, self._portal.jobs)

    @cached_property
    def invoices(self) -> Table[Invoice]:
        """The customer's invoices."""
        return Table(self._thread, self._portal.invoices)

    @cached_property
    def messages(self) -> Messages:
        """The thread with the staff."""
        return Messages(self._thread, self._portal.messages)

    @cached_property
    def loyalty(self) -> Loyalty:
        """The points ledger."""
        return Loyalty(self._thread, self._portal.loyalty)

    @cached_property
    def profile(self) -> Profile:
        """The customer's own record, as a table of one row."""
        return Profile(self._thread, self._portal.profile)

    @cached_property
    def outbox(self) -> Outbox:
        """The local writes that are not over yet."""
        return Outbox(self._thread, self._portal)

    @property
    def customer(self) -> Customer:
        """The signed-in customer; StateError before the first snapshot."""
        return self._thread.call(lambda: self._portal.customer)

    @property
    def status(self) -> SyncStatus:
        """How fresh the rows are, at this moment; readable after closing, too."""
        return self._portal.status

    @property
    def metrics(self) -> PortalMetrics:
        """Counters and latencies since the portal was opened."""
        return self._thread.call(lambda: self._portal.metrics)

    def statuses(self) -> BlockingStream[SyncStatus]:
        """Return an iterator over every status from now on."""
        return BlockingStream(self._thread, self._thread.call(self._portal.statuses))

    def changes(self) -> BlockingStream[Change[Any]]:
        """Return an iterator over the changes of all tables from now on, in feed order."""
        return BlockingStream(self._thread, self._thread.call(self._portal.changes))

    def on_change(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(change)`` for each change of any table, on a thread of its own."""
        self._thread.call(lambda: self._portal.on_change(callback))
        return callback

    def presence(self, room: str, meta: Row | None = None) -> PresenceRoom:
        """Return a room that shows who is in it; enter it with ``with``."""
        thread = self._thread
        return PresenceRoom(thread, thread.call(lambda: self._portal.presence(room, meta)))

    def broadcast(self, room: str, *, hears_self: bool = False) -> BroadcastRoom:
        """Return a room for quick messages; enter it with ``with``."""
        thread = self._thread
        made = thread.call(lambda: self._portal.broadcast(room, hears_self=hears_self))
        return BroadcastRoom(thread, made)

    @property
    def _thread(self) -> LoopThread:
        if self._running is None:
            raise PortalClosedError("Enter the portal first: with Portal(...) as portal")
        return self._running
