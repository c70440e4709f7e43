"""The status that an application reads: derived from the core, never better than the truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from portal_sdk._core.session import PortalCore
from portal_sdk.errors import PortalClosedError, PortalError
from portal_sdk.types import SyncState, SyncStatus


def status_of(
    core: PortalCore, old: SyncStatus, *, store_error: PortalError | None, pending_writes: int
) -> SyncStatus:
    """Return the status now, given the one before."""
    state, as_of = core.state, core.sync.fresh_as_of
    return SyncStatus(
        state=state,
        since=old.since if state == old.state else datetime.now(UTC),
        fresh_as_of=None if as_of is None else datetime.fromisoformat(as_of),
        last_error=core.last_error or store_error,
        doorbell=core.doorbell,
        pending_writes=pending_writes,
    )


def outlived(status: SyncStatus, overdue_s: float) -> SyncStatus:
    """Return what is left of a live status whose proof ran out this many seconds ago."""
    since = datetime.now(UTC) - timedelta(seconds=overdue_s)
    return replace(status, state=SyncState.STALE, since=since)


def closed_status(old: SyncStatus, error: PortalError | None) -> SyncStatus:
    """Return the last status of a portal."""
    return SyncStatus(
        SyncState.CLOSED, since=datetime.now(UTC), fresh_as_of=old.fresh_as_of, last_error=error
    )


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
