"""Errors of the Realtime server.

::

    RealtimeError
    ├── FrameError              an inbound frame that cannot be read; it is dropped
    ├── UnsupportedServerError  the ASGI server cannot carry Realtime sockets
    ├── ConnectRefusedError     status, text: the handshake is answered with HTTP
    ├── JoinRefusedError        reason, close_code: a join is answered with an error
    ├── ChannelStoppedError     message: the server ends a joined channel
    ├── PermissionCheckError    reason, channel_message: a policy check could not be made
    ├── SubscriptionError       message, retry: table changes cannot be subscribed
    └── PgOutputError           a replication message that cannot be read

Texts are those of Supabase Realtime, because clients tell errors apart by them.
"""

from __future__ import annotations

from local_stack.auth.tokens import (
    TokenClaimsError,
    TokenError,
    TokenExpiredError,
    TokenMalformedError,
    TokenSignatureError,
    TokenSignerError,
)

FIELDS_REQUIRED = "Fields `role` and `exp` are required in JWT"
NOT_A_JWT = "The token provided is not a valid JWT"
BAD_SIGNATURE = "Failed to validate JWT signature"
NO_DATABASE = "Realtime was unable to connect to the project database"


class RealtimeError(Exception):
    """Root of everything the Realtime server raises on purpose."""


class FrameError(RealtimeError, ValueError):
    """An inbound frame breaks the protocol; it is dropped without an answer."""


class UnsupportedServerError(RealtimeError, RuntimeError):
    """The ASGI server is not one whose sockets can be written to."""

    def __init__(self) -> None:
        super().__init__(
            "Serve Realtime with uvicorn, ws='websockets-sansio' or RealtimeWebSocketProtocol, "
            "ws_per_message_deflate=False, and let nothing wrap the `send` of its WebSockets."
        )


class ConnectRefusedError(RealtimeError):
    """The handshake is refused with an HTTP status and a JSON body."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text
        super().__init__(f"{status} {text}")


class JoinRefusedError(RealtimeError):
    """A join is refused.

    Attributes:
        reason: what the client is told.
        close_code: the socket is closed with this code after the answer; None keeps it.
    """

    def __init__(self, reason: str, close_code: int | None = None) -> None:
        self.reason = reason
        self.close_code = close_code
        super().__init__(reason)


class ChannelStoppedError(RealtimeError):
    """The server ends a joined channel with a ``system`` error and ``phx_close``."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class PermissionCheckError(RealtimeError):
    """The policies of a topic could not be evaluated.

    Attributes:
        reason: answer to a join.
        channel_message: text for a channel that is joined already.
        denied: a policy failed or the role does not exist, which counts as a refusal.
    """

    def __init__(self, reason: str, channel_message: str, *, denied: bool) -> None:
        self.reason = reason
        self.channel_message = channel_message
        self.denied = denied
        super().__init__(reason)


class SubscriptionError(RealtimeError):
    """The table changes a channel asked for cannot be delivered.

    Attributes:
        message: what the channel is told.
        retry: the database failed rather than the request; the server tries again.
    """

    def __init__(self, message: str, *, retry: bool = False) -> None:
        self.message = message
        self.retry = retry
        super().__init__(message)


class PgOutputError(RealtimeError, ValueError):
    """A message of the replication stream cannot be read."""


def render_token_error(error: TokenError) -> tuple[str, str, str]:
    """Return what clients are told about a refused token.

    Returns:
        The text at the handshake, the reason of a join, the message of a channel's end.
    """
    if isinstance(error, TokenExpiredError):
        ago = f"Token has expired {error.expired_ago_s} seconds ago"
        return "Token has expired", f"InvalidJWTToken: {ago}", ago
    if isinstance(error, TokenClaimsError) and error.missing:
        return FIELDS_REQUIRED, f"InvalidJWTToken: {FIELDS_REQUIRED}", FIELDS_REQUIRED
    if isinstance(error, TokenMalformedError):
        return NOT_A_JWT, f"MalformedJWT: {NOT_A_JWT}", NOT_A_JWT
    if isinstance(error, TokenSignatureError):
        return BAD_SIGNATURE, f"JwtSignatureError: {BAD_SIGNATURE}", ":signature_error"
    if isinstance(error, TokenSignerError):
        named = "" if error.kid is None else f' for key ID (kid) "{error.kid}"'
        text = f"Failed to generate JWT signer{named}, check your JWT secret or JWKS configuration"
        return text, f"JwtSignerError: {text}", text
    return "Error connecting to Realtime", "Unknown Error on Channel", NOT_A_JWT
