"""Every error of the package, as one tree; nothing here knows HTTP frameworks or sockets.

::

    CrmError
    ├── ServiceError                       answered to the caller as a problem (RFC 9457)
    │   ├── AuthenticationError       401  TokenMissing… · TokenRejected… · TokenExpiredError
    │   ├── AccessError               403  CustomerTokenError · StaffInactiveError · NotStaffError ·
    │   │                                  ForbiddenError
    │   ├── RequestError
    │   │   ├── InvalidRequestError   422  names the fields
    │   │   ├── UnsupportedMedia…     415  the body is not JSON
    │   │   ├── RuleRefusedError      422  a rule of the database refused the value or transition
    │   │   ├── NotFoundError         404
    │   │   ├── VersionRequiredError  428
    │   │   ├── KeyReusedError        422  the Idempotency-Key belongs to another request
    │   │   ├── BulkRefusedError      422  all-or-nothing, and a row was refused
    │   │   └── RateLimitedError      429
    │   ├── ConflictError             409  AlreadyExistsError · UnknownReferenceError ·
    │   │   │                              CustomerDeletedError
    │   │   └── StaleVersionError     409  (412 PreconditionFailedError when If-Match was used)
    │   ├── UpstreamError             503  UpstreamUnavailableError · UpstreamTimeoutError ·
    │   │                                  UpstreamContractError · BusyError ·
    │   │                                  RealtimeUnavailableError
    │   │   └── StatementTimeoutError 504
    │   ├── EncryptionUnavailableError 501 no key, or not the one, for sensitive fields
    │   ├── SecretUnreadableError     500  a stored value does not open
    │   ├── StoppingError             503  the service ended before the request was done
    │   └── InternalError             500  a bug
    └── ClientError                        raised by ``crm_service.client``
        ├── CrmProblemError                the service answered with a problem; those that carry
        │                                  more than words have classes of their own there
        └── CrmUnreachableError            no answer
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

TYPE_PREFIX = "urn:portal-sync:problem:"


class CrmError(Exception):
    """Root of every error of this package."""


class ServiceError(CrmError):
    """A refusal or failure with everything the caller needs to act on it.

    Args:
        detail: What happened and what to do, for a person. Never a secret or row data.
        extra: Further members of the problem, JSON values.
        headers: Response headers that belong to the answer.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{self.code}: {detail}")
        self.detail = detail
        self.extra: dict[str, Any] = dict(extra or {})
        self.headers: dict[str, str] = dict(headers or {})


# Who is calling


class AuthenticationError(ServiceError):
    """The caller did not prove who they are."""

    status = 401
    code = "token-rejected"
    title = "Token rejected"
    challenge: ClassVar[str] = 'Bearer error="invalid_token"'

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": self.challenge})


class TokenMissingError(AuthenticationError):
    """No bearer token was sent."""

    code = "token-missing"
    title = "Token missing"
    challenge = "Bearer"


class TokenRejectedError(AuthenticationError):
    """The token is malformed, not ours, or not a session of a person."""


class TokenExpiredError(AuthenticationError):
    """The token was good and is no longer."""

    code = "token-expired"
    title = "Token expired"


class AccessError(ServiceError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"
    title = "Not allowed"


class CustomerTokenError(AccessError):
    """A customer knocked at the staff door."""

    code = "staff-only"
    title = "This door is for staff"


class StaffInactiveError(AccessError):
    """The account is signed in and is not an active member of staff."""

    code = "staff-inactive"
    title = "Not an active member of staff"


class NotStaffError(AccessError):
    """The account is signed in and belongs to nobody the CRM knows."""

    code = "not-staff"
    title = "Not a member of staff"


class ForbiddenError(AccessError):
    """The database refused the action for this member of staff."""


# What is asked


class RequestError(ServiceError):
    """The request cannot be carried out as it is."""

    status = 400
    code = "bad-request"
    title = "Bad request"


class InvalidRequestError(RequestError):
    """Fields of the request are wrong; ``errors`` names each of them."""

    status = 422
    code = "invalid-request"
    title = "Invalid request"

    def __init__(self, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail, extra={"errors": [dict(error) for error in errors]})


class UnsupportedMediaTypeError(RequestError):
    """The body is not JSON."""

    status = 415
    code = "unsupported-media-type"
    title = "Unsupported media type"


class RuleRefusedError(RequestError):
    """A rule of the database refused the value or the transition."""

    status = 422
    code = "rule-refused"
    title = "Refused by a rule"


class NotFoundError(RequestError):
    """No such row, or none that this member of staff may see."""

    status = 404
    code = "not-found"
    title = "Not found"


class VersionRequiredError(RequestError):
    """A change was sent without saying which version it is based on."""

    status = 428
    code = "version-required"
    title = "Version required"


class KeyReusedError(RequestError):
    """The idempotency key was used for another request."""

    status = 422
    code = "idempotency-key-reused"
    title = "Idempotency key reused"

    @classmethod
    def of_another(cls) -> "KeyReusedError":
        """Build the error for a key that belongs to another request of the caller."""
        return cls(
            "This Idempotency-Key belongs to another request of yours. Nothing was written; "
            "use a new key for a new request."
        )


class BulkRefusedError(RequestError):
    """Nothing was written because a row was refused; ``results`` names each row."""

    status = 422
    code = "bulk-refused"
    title = "Nothing was written"


class RateLimitedError(RequestError):
    """Too many requests of one member of staff."""

    status = 429
    code = "rate-limited"
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class ConflictError(ServiceError):
    """The request contradicts what is stored."""

    status = 409
    code = "conflict"
    title = "Conflict"


class AlreadyExistsError(ConflictError):
    """The id or another unique value is taken by something else."""

    code = "already-exists"
    title = "Already exists"


class UnknownReferenceError(ConflictError):
    """The row refers to one that does not exist."""

    code = "unknown-reference"
    title = "Unknown reference"


class CustomerDeletedError(ConflictError):
    """A new row is for a deleted customer, or a row would move to one."""

    code = "customer-deleted"
    title = "The customer is deleted"


class StaleVersionError(ConflictError):
    """The row has moved on since the caller read it; ``current`` is the row as it is."""

    code = "stale-version"
    title = "Version is stale"


class PreconditionFailedError(StaleVersionError):
    """The same, told through ``If-Match``."""

    status = 412


class ReplayedError(ConflictError):
    """The database has already seen this very request; callers turn it into its answer."""

    code = "replayed"
    title = "Already done"


# What is behind us


class UpstreamError(ServiceError):
    """The database's REST endpoint did not do its part."""

    status = 503
    code = "database-unavailable"
    title = "Database unavailable"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})
        self.retry_after_s = retry_after_s


class UpstreamUnavailableError(UpstreamError):
    """No connection, or the endpoint says that it cannot serve."""


class UpstreamTimeoutError(UpstreamError):
    """No answer within ``database_timeout_s``."""

    code = "database-timeout"
    title = "Database did not answer in time"


class UpstreamContractError(UpstreamError):
    """The answer is not what PostgREST or our migrations promise."""

    code = "database-contract"
    title = "Database answered unexpectedly"


class BusyError(UpstreamError):
    """Two writers kept colliding, even after one retry."""

    code = "busy"
    title = "Too much contention"


class RealtimeUnavailableError(UpstreamError):
    """Supabase Realtime does not answer: who is online cannot be told; rows are not affected."""

    code = "realtime-unavailable"
    title = "Realtime unavailable"


class StatementTimeoutError(UpstreamError):
    """The database gave up on the statement."""

    status = 504
    code = "statement-timeout"
    title = "The database gave up on the statement"


class EncryptionUnavailableError(ServiceError):
    """Sensitive fields cannot be written or read with the keys that are configured."""

    status = 501
    code = "encryption-unavailable"
    title = "No key for sensitive fields"


class SecretUnreadableError(ServiceError):
    """A stored value is not what was stored, or not for this place."""

    status = 500
    code = "secret-unreadable"
    title = "A stored value does not open"


class StoppingError(ServiceError):
    """The service stops and waits no longer for what is running."""

    status = 503
    code = "stopping"
    title = "The service is stopping"

    def __init__(self) -> None:
        super().__init__(
            "The service stopped before the request was done. Whether a change was made is "
            "unknown: send it again with the same id or Idempotency-Key.",
            headers={"Retry-After": "2"},
        )


class InternalError(ServiceError):
    """A bug of the service; the log has the request id."""


# The typed client


class ClientError(CrmError):
    """Root of what ``crm_service.client`` raises."""


class CrmProblemError(ClientError):
    """The service answered with a problem.

    Attributes:
        status: HTTP status.
        code: Last part of the problem's ``type``; empty if the answer was no problem document.
        problem: The whole document.
        retry_after_s: Seconds to wait before another attempt, if the service named any.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after_s: int | None = None
    ) -> None:
        self.status = status
        self.problem = dict(problem)
        self.retry_after_s = retry_after_s
        kind = str(problem.get("type", ""))
        self.code = kind.removeprefix(TYPE_PREFIX) if kind.startswith(TYPE_PREFIX) else ""
        self.detail = str(problem.get("detail", ""))
        self.request_id = str(problem.get("request_id", ""))
        super().__init__(f"{status} {self.code or 'unknown'}: {self.detail}")

    @property
    def retryable(self) -> bool:
        """Tell whether the same request may succeed later."""
        return self.status in {429, 503, 504}


class CrmUnreachableError(ClientError):
    """The service gave no answer; whether a write took effect is unknown."""

    retryable: ClassVar[bool] = True
