"""The status that an application reads: derived from the core, never better than the truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from portal_sdk._core.session import PortalCore
from portal_sdk.errors import PortalClosedError, PortalError
from portal_sdk.types import SyncState, SyncStatus


class StatusBoard:
    """The status of one portal: written after every event, read in any thread."""

    __slots__ = ("_now",)

    def __init__(self) -> None:
        status = SyncStatus(SyncState.CONNECTING, since=datetime.now(UTC))
        self._now: tuple[SyncStatus, str | None] = (status, None)

    @property
    def state(self) -> SyncState:
        """The state last written."""
        return self._now[0].state

    def read(self) -> SyncStatus:
        """Return the status last written.

        Every answer of the database moves ``fresh_as_of``; it is worked out for who reads it.
        """
        status, as_of = self._now  # one look: another thread may write meanwhile
        fresh_as_of = None if as_of is None else datetime.fromisoformat(as_of)
        return status if status.fresh_as_of == fresh_as_of else replace(
            status, fresh_as_of=fresh_as_of
        )  # fmt: skip

    def write(
        self, core: PortalCore, state: SyncState, *, store_error: PortalError | None,
        pending_writes: int,
    ) -> SyncStatus | None:  # fmt: skip
        """Take the status from the core, whose state is ``state``.

        Returns:
            It, if there is something to tell: anything but ``fresh_as_of`` is another than before.
        """
        old, as_of = self._now[0], core.sync.fresh_as_of
        last_error, doorbell = core.error_in(state) or store_error, core.doorbell
        if (
            state is old.state and last_error is old.last_error and doorbell == old.doorbell
            and pending_writes == old.pending_writes
        ):  # fmt: skip
            self._now = (old, as_of)
            return None
        new = SyncStatus(
            state=state,
            since=old.since if state is old.state else datetime.now(UTC),
            fresh_as_of=None if as_of is None else datetime.fromisoformat(as_of),
            last_error=last_error,
            doorbell=doorbell,
            pending_writes=pending_writes,
        )
        self._now = (new, as_of)
        return new

    def close(self, error: PortalError | None) -> SyncStatus:
        """Write the last status of a portal, and return it."""
        fresh_as_of = self.read().fresh_as_of
        status = SyncStatus(
            SyncState.CLOSED, since=datetime.now(UTC), fresh_as_of=fresh_as_of, last_error=error
        )
        self._now = (status, self._now[1])
        return status


def outlived(status: SyncStatus, overdue_s: float) -> SyncStatus:
    """Return what is left of a live status whose proof ran out this many seconds ago."""
    since = datetime.now(UTC) - timedelta(seconds=overdue_s)
    return replace(status, state=SyncState.STALE, since=since)


def is_ready(status: SyncStatus) -> bool:
    """Return whether the portal is live.

    Raises:
        PortalClosedError, AuthError: It will not become live by itself.
    """
    if status.state is SyncState.CLOSED:
        raise PortalClosedError("The portal is closed") from status.last_error
    if status.state is SyncState.NEEDS_AUTH and status.last_error is not None:
        raise status.last_error.with_traceback(None)
    return status.state is SyncState.LIVE
