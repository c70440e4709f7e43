"""Every error the SDK raises or reports, in one tree.

PortalError                              .retryable  .context (safe to log: no secrets, no row data)
├── ConfigurationError (+ ValueError)    a bad argument, before any I/O
├── StateError (+ RuntimeError)          the call is not valid now
│   └── PortalClosedError
├── ReadyTimeoutError (+ TimeoutError)   not live in time; the cause says why
├── TransportError                       the network, retried by itself
│   ├── ConnectError · RequestTimeoutError (+ TimeoutError) · ConnectionLostError
│   ├── HeartbeatTimeoutError (+ TimeoutError) · JoinTimeoutError (+ TimeoutError)
│   └── JoinRejectedError
├── ProtocolError                        the peer answered something that is not Supabase
├── AuthError                            needs a person
│   └── SignInRefusedError · TokenExpiredError · TokenRejectedError · ApiKeyRejectedError
│       · NoCustomerError
├── RestError                            status, code, message, details, hint, request_id
│   └── PermissionDeniedError · NotFoundError · ConflictError · InvalidRequestError
│       · RateLimitedError · ServerUnavailableError
├── WriteError                           a local write; .write_id .table
│   ├── WriteRefusedError                refused by the database; the cause says why
│   │   └── WriteConflictError           someone else changed the same columns meanwhile
│   ├── WriteTimeoutError (+ TimeoutError)   not synced in time; it goes on
│   └── WriteDiscardedError              given up before it took effect
├── ChannelError                         a room; .room
│   ├── ChannelClosedError               it is not joined, or not any more
│   └── BroadcastRefusedError · BroadcastTimeoutError (+ TimeoutError)
├── StoreError
│   └── StoreLockedError · StoreUnusableError
└── SlowConsumerError                    a subscriber did not keep up with its queue
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar


class PortalError(Exception):
    """Say what went wrong and what to do about it.

    Attributes:
        retryable: True when the SDK, or the caller, may try the same thing again.
        context: Facts that are safe to log; never a secret, never row data.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.context: Mapping[str, object] = MappingProxyType(context)


class ConfigurationError(PortalError, ValueError):
    """An argument or setting is wrong; raised before any I/O."""


class StateError(PortalError, RuntimeError):
    """The call is not valid in the portal's present state."""


class PortalClosedError(StateError):
    """The portal is closed; open a new one."""


class ReadyTimeoutError(PortalError, TimeoutError):
    """The portal was not live in time; it goes on trying in the background."""

    retryable = True


class TransportError(PortalError):
    """The network failed; the SDK retries by itself."""

    retryable = True


class ConnectError(TransportError):
    """No connection could be made."""


class RequestTimeoutError(TransportError, TimeoutError):
    """A request was not answered in time; its effect is unknown."""


class ConnectionLostError(TransportError):
    """An open connection ended."""


class HeartbeatTimeoutError(TransportError, TimeoutError):
    """The server stopped answering on an open socket."""


class JoinTimeoutError(TransportError, TimeoutError):
    """The server did not answer a channel join in time."""


class JoinRejectedError(TransportError):
    """The server refused a channel join.

    Attributes:
        code: The server's error name, such as ``Unauthorized``; empty if it gave none.
        reason: The server's sentence.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"The server refused the channel: {reason}", code=code)
        self.code = code
        self.reason = reason


class ProtocolError(PortalError):
    """The peer answered something that is not the Supabase protocol."""

    retryable = True


class AuthError(PortalError):
    """Signing in is not possible without a change by a person."""


class SignInRefusedError(AuthError):
    """The auth server refused the credentials or the refresh token."""


class TokenExpiredError(AuthError):
    """The access token has expired and cannot be renewed."""


class TokenRejectedError(AuthError):
    """The server does not accept the access token."""


class ApiKeyRejectedError(AuthError):
    """The server does not accept the project's API key."""


class NoCustomerError(AuthError):
    """The signed-in user is not linked to a customer."""


class RestError(PortalError):
    """The database API refused a request.

    Attributes:
        status: HTTP status.
        code: SQLSTATE or PGRST code, or empty.
        details: What PostgreSQL said in its detail field, or empty.
        hint: What to do, or empty.
        request_id: The server's request id, or empty.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        details: str = "",
        hint: str = "",
        request_id: str = "",
    ) -> None:
        text = f"{message} ({hint})" if hint else message
        super().__init__(text, status=status, code=code, request_id=request_id)
        self.status = status
        self.code = code
        self.details = details
        self.hint = hint
        self.request_id = request_id


class PermissionDeniedError(RestError):
    """The caller may not do or see this (SQLSTATE 42501)."""


class NotFoundError(RestError):
    """The table, function or row does not exist."""


class ConflictError(RestError):
    """The request collides with what is stored."""


class InvalidRequestError(RestError):
    """The database refused the values."""


class RateLimitedError(RestError):
    """Too many requests; wait.

    Attributes:
        retry_after_s: Seconds the server asked for, or None.
    """

    retryable = True

    def __init__(self, message: str, *, status: int, retry_after_s: float | None) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


class ServerUnavailableError(RestError):
    """The server is up but cannot serve now (5xx)."""

    retryable = True


class WriteError(PortalError):
    """A local write did not come through, or not yet.

    Attributes:
        write_id: Id of the write in ``portal.outbox``.
        table: Table it is about.
    """

    def __init__(self, message: str, *, write_id: str, table: str, **context: object) -> None:
        super().__init__(message, write_id=write_id, table=table, **context)
        self.write_id = write_id
        self.table = table


class WriteRefusedError(WriteError):
    """The database refused the write; it has no effect and is not shown any more.

    It stays in ``portal.outbox`` until it is retried or discarded. The cause is the refusal.
    """


class WriteConflictError(WriteRefusedError):
    """Someone else changed the same columns after the user saw them.

    Attributes:
        columns: The columns in conflict.
    """

    def __init__(
        self, message: str, *, write_id: str, table: str, columns: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, write_id=write_id, table=table, columns=columns)
        self.columns = columns


class WriteTimeoutError(WriteError, TimeoutError):
    """The write was not synced in time; it stays in the outbox and goes on."""

    retryable = True


class WriteDiscardedError(WriteError):
    """The application discarded the write before it took effect."""


class ChannelError(PortalError):
    """A room cannot be used now.

    Attributes:
        room: Name of the room.
    """

    def __init__(self, message: str, *, room: str, **context: object) -> None:
        super().__init__(message, room=room, **context)
        self.room = room


class ChannelClosedError(ChannelError):
    """The room is not joined, or not any more."""


class BroadcastRefusedError(ChannelError):
    """The server did not accept the broadcast."""


class BroadcastTimeoutError(ChannelError, TimeoutError):
    """The server did not acknowledge the broadcast in time; it may have been delivered."""

    retryable = True


class StoreError(PortalError):
    """The local store failed; the live data in memory is not affected."""

    retryable = True


class StoreLockedError(StoreError):
    """Another process, or another portal, has the store file open."""

    retryable = False


class StoreUnusableError(StoreError):
    """The store file cannot be opened: damaged, read-only or not a database."""

    retryable = False


class SlowConsumerError(PortalError):
    """A subscriber fell behind its bounded queue and missed changes.

    The tables are right all the same: read them again, then subscribe anew.

    Attributes:
        dropped_count: Changes this subscriber did not get.
        capacity: Size of its queue.
    """

    def __init__(self, *, dropped_count: int, capacity: int) -> None:
        super().__init__(
            f"This subscriber kept more than {capacity} changes waiting and missed"
            f" {dropped_count}; read the tables again and subscribe anew",
            dropped_count=dropped_count,
            capacity=capacity,
        )
        self.dropped_count = dropped_count
        self.capacity = capacity
