"""Facts that reach the machines. Past tense, frozen, no behaviour."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field

from portal_sdk._core.difference import Comparison
from portal_sdk._core.digest import TableSummary
from portal_sdk._core.feed import FeedChange, Forms, Head, PullPage, Snapshot, Tables
from portal_sdk._core.frozen import frozen
from portal_sdk.errors import PortalError
from portal_sdk.types import Row


class LossKind(enum.StrEnum):
    """Why a doorbell is gone; decides what happens before the next attempt."""

    NETWORK = "network"
    """Socket refused, cut, closed or silent: back off and reopen."""
    CHANNEL = "channel"
    """The server ended or refused the channel for a passing reason: back off and reopen."""
    RATE_LIMITED = "rate_limited"
    """The server asked for fewer connections or joins: wait longer."""
    TOKEN = "token"  # noqa: S105 - the name of a reason
    """The token was not accepted: renew it first."""
    DENIED = "denied"
    """The channel may not be joined: find out again who the customer is."""


# Session


@frozen
class Started:
    """The user opened the portal."""


@frozen
class PauseAsked:
    """The app went to the background."""


@frozen
class ResumeAsked:
    """The app came back, or wants another try after a refusal."""


@frozen
class CloseAsked:
    """The user closed the portal."""


@frozen
class ClockJumped:
    """The machine slept: no deadline that passed meanwhile means anything."""


# Token


@frozen
class TokenAcquired:
    """A token was issued; ``life_s`` is its remaining life, None if it has no known end."""

    token: str = field(repr=False)
    user_id: str
    life_s: float | None


@frozen
class TokenFailed:
    """The token could not be had now: network, 429 or 5xx."""

    error: PortalError


@frozen
class TokenRefused:
    """The auth server, or the application, refused a token for good."""

    error: PortalError


@frozen
class TokenRejected:
    """A server did not accept the token we presented."""

    error: PortalError


@frozen
class TokenAccepted:
    """A server accepted the token we presented."""


# Store and identity


@frozen
class StoreOpened:
    """The store of this user is open; scope and epoch are None when it holds nothing.

    Reading it takes time, and somebody else may have signed in meanwhile; None is whoever it is.
    """

    scope: str | None = None
    epoch: str | None = None
    n: int = 0
    tables: Tables = field(default_factory=dict[str, dict[str, Row]], repr=False)
    fresh_as_of: str | None = None
    known: Mapping[str, TableSummary] = field(default_factory=dict[str, TableSummary], repr=False)
    forms: Forms = field(default_factory=dict[str, str])
    user_id: str | None = None


@frozen
class RowsRecalled:
    """The auth server cannot be reached; these are the rows of the user who signed in last."""

    user_id: str
    stored: StoreOpened


@frozen
class Authorized:
    """There is a token, and the store told which scope is ours, if it knew."""

    user_id: str
    scope: str | None


@frozen
class AuthRefused:
    """There will be no token without a person."""

    error: PortalError


@frozen
class ScopeResolved:
    """The signed-in user is this customer."""

    request: int
    scope: str


@frozen
class ScopeMissing:
    """The signed-in user is no customer."""

    request: int
    error: PortalError


@frozen
class ScopeFailed:
    """Who the customer is could not be asked now."""

    request: int
    error: PortalError


@frozen
class ScopeRevoked:
    """The database says that this scope is not ours (any more)."""

    error: PortalError


# Doorbell


@frozen
class DoorbellJoined:
    """The channel of this generation is joined."""

    generation: int


@frozen
class DoorbellRang:
    """A ring arrived; epoch and n are None when the ring only says "look".

    ``change`` is the feed entry itself, when the doorbell carried it.
    """

    generation: int
    epoch: str | None = None
    n: int | None = None
    change: FeedChange | None = field(default=None, repr=False)


@frozen
class DoorbellLost:
    """The socket or channel of this generation is gone."""

    generation: int
    kind: LossKind
    error: PortalError


@frozen
class DoorbellDoubted:
    """A change came without a ring: the socket may be deaf."""

    error: PortalError


@frozen
class HeartbeatAnswered:
    """The server gave a sign of life on this generation's socket."""

    generation: int


# Database


@frozen
class DatabaseAnswered:
    """A feed RPC was answered; ``was_head`` when it was the regular verification."""

    was_head: bool


@frozen
class DatabaseFailed:
    """A feed RPC failed."""

    was_head: bool
    error: PortalError


@frozen
class SyncStarted:
    """A doorbell is there: whatever happened before it may have been missed."""


@frozen
class SyncStopped:
    """Paused, refused or closed: answers still under way no longer count."""


@frozen
class Rang:
    """The doorbell rang for this scope; None means that the position is not known."""

    epoch: str | None = None
    n: int | None = None
    change: FeedChange | None = field(default=None, repr=False)


@frozen
class HeadWanted:
    """The verification is due."""


@frozen
class SnapshotAnswered:
    """portal_snapshot answered request number ``request``.

    ``comparison`` says what it changes, found since the request was made; None: not yet looked for.
    """

    request: int
    snapshot: Snapshot
    comparison: Comparison | None = None


@frozen
class PullAnswered:
    """portal_pull answered request number ``request``."""

    request: int
    page: PullPage


@frozen
class HeadAnswered:
    """portal_head answered request number ``request``."""

    request: int
    head: Head


@frozen
class RequestFailed:
    """A snapshot, pull or head got no usable answer."""

    request: int
    error: PortalError


Event = (
    Started
    | PauseAsked
    | ResumeAsked
    | CloseAsked
    | ClockJumped
    | TokenAcquired
    | TokenFailed
    | TokenRefused
    | StoreOpened
    | RowsRecalled
    | ScopeResolved
    | ScopeMissing
    | ScopeFailed
    | DoorbellJoined
    | DoorbellRang
    | DoorbellLost
    | HeartbeatAnswered
    | SnapshotAnswered
    | PullAnswered
    | HeadAnswered
    | RequestFailed
)
"""What the driver may post."""
