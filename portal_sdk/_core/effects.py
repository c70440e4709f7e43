"""Orders the machines give. Imperative, frozen; none of them waits for the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from portal_sdk._core.difference import RowChange
from portal_sdk._core.frozen import frozen
from portal_sdk._core.replica import Commit
from portal_sdk.errors import PortalError
from portal_sdk.types import ChangeSource, DoorbellKind


@frozen
class FetchToken:
    """Get a token; ``renew`` when the one we have must be replaced.

    ``patience`` times ``request_timeout_s`` is how long the answer may take (TOKEN-8).
    """

    renew: bool
    patience: int = 1


@frozen
class PushToken:
    """Give the new token to the open doorbell."""

    generation: int
    token: str = field(repr=False)


@frozen
class OpenStore:
    """Read what the store holds of this user.

    SYNC-24: another user's rows are not shown and stay; the first rows that are committed for this
    user take their place.
    """

    user_id: str


@frozen
class RecallRows:
    """Open the store for the user of the last sign-in, because signing in is not possible now."""


@frozen
class CommitRows:
    """Make rows and cursor durable in one transaction."""

    commit: Commit = field(repr=False)


@frozen
class PurgeStore:
    """Forget everything stored."""


@frozen
class ResolveScope:
    """Ask the database which customer this user is."""

    request: int
    user_id: str


@frozen
class OpenDoorbell:
    """Open a new socket, as this generation, and join the scope's private channel."""

    generation: int
    scope: str
    kind: DoorbellKind = "broadcast"


@frozen
class CloseDoorbell:
    """Throw this generation's socket away."""

    generation: int


@frozen
class SendHeartbeat:
    """Ask this generation's socket for a sign of life."""

    generation: int


@frozen
class RequestSnapshot:
    """Call portal_snapshot."""

    request: int
    scope: str


@frozen
class RequestPull:
    """Call portal_pull."""

    request: int
    scope: str
    epoch: str
    after_n: int
    limit: int


@frozen
class RequestHead:
    """Call portal_head."""

    request: int
    scope: str


@frozen
class PublishChanges:
    """Tell the subscribers, in this order; many changes need not be told in one go."""

    changes: Iterable[RowChange] = field(repr=False)
    source: ChangeSource


# Orders between machines; PortalCore carries them out and the driver never sees them.


@frozen
class AskHead:
    """Verify the database path and the digest."""


@frozen
class AskPoll:
    """Look for changes without having been rung."""


@frozen
class CatchUp:
    """A doorbell is up: read from the cursor."""


@frozen
class RenewToken:
    """The server refused the token."""

    error: PortalError


@frozen
class ReportDeafDoorbell:
    """A change was found for which no ring came."""


Effect = (
    FetchToken
    | PushToken
    | OpenStore
    | RecallRows
    | CommitRows
    | PurgeStore
    | ResolveScope
    | OpenDoorbell
    | CloseDoorbell
    | SendHeartbeat
    | RequestSnapshot
    | RequestPull
    | RequestHead
    | PublishChanges
)
"""What the driver carries out."""
