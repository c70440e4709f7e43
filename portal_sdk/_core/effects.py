"""Orders the machines give. Imperative, frozen; none of them waits for the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from portal_sdk._core.difference import RowChange
from portal_sdk._core.replica import Commit
from portal_sdk.errors import PortalError
from portal_sdk.types import ChangeSource, DoorbellKind


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Get a token; ``renew`` when the one we have must be replaced.

    ``patience`` times ``request_timeout_s`` is how long the answer may take (TOKEN-8).
    """

    renew: bool
    patience: int = 1


@dataclass(frozen=True, slots=True)
class PushToken:
    """Give the new token to the open doorbell."""

    generation: int
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenStore:
    """Open the store for this user; another user's rows are purged, never shown."""

    user_id: str


@dataclass(frozen=True, slots=True)
class RecallRows:
    """Open the store for the user of the last sign-in, because signing in is not possible now."""


@dataclass(frozen=True, slots=True)
class CommitRows:
    """Make rows and cursor durable in one transaction."""

    commit: Commit = field(repr=False)


@dataclass(frozen=True, slots=True)
class PurgeStore:
    """Forget everything stored."""


@dataclass(frozen=True, slots=True)
class ResolveScope:
    """Ask the database which customer this user is."""

    request: int
    user_id: str


@dataclass(frozen=True, slots=True)
class OpenDoorbell:
    """Open a new socket, as this generation, and join the scope's private channel."""

    generation: int
    scope: str
    kind: DoorbellKind = "broadcast"


@dataclass(frozen=True, slots=True)
class CloseDoorbell:
    """Throw this generation's socket away."""

    generation: int


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Ask this generation's socket for a sign of life."""

    generation: int


@dataclass(frozen=True, slots=True)
class RequestSnapshot:
    """Call portal_snapshot."""

    request: int
    scope: str


@dataclass(frozen=True, slots=True)
class RequestPull:
    """Call portal_pull."""

    request: int
    scope: str
    epoch: str
    after_n: int
    limit: int


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Call portal_head."""

    request: int
    scope: str


@dataclass(frozen=True, slots=True)
class PublishChanges:
    """Tell the subscribers, in this order; many changes need not be told in one go."""

    changes: Iterable[RowChange] = field(repr=False)
    source: ChangeSource


# Orders between machines; PortalCore carries them out and the driver never sees them.


@dataclass(frozen=True, slots=True)
class AskHead:
    """Verify the database path and the digest."""


@dataclass(frozen=True, slots=True)
class AskPoll:
    """Look for changes without having been rung."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A doorbell is up: read from the cursor."""


@dataclass(frozen=True, slots=True)
class RenewToken:
    """The server refused the token."""

    error: PortalError


@dataclass(frozen=True, slots=True)
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
