"""Translate an error answer of PostgREST into one of ours; pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm_service.constraints import (
    DELETED_CUSTOMER,
    explain_check,
    explain_deleted,
    explain_no_row,
    explain_taken,
    explain_unknown_reference,
)
from crm_service.errors import (
    AlreadyExistsError,
    BusyError,
    ConflictError,
    CustomerDeletedError,
    ForbiddenError,
    KeyReusedError,
    NotFoundError,
    ReplayedError,
    RuleRefusedError,
    ServiceError,
    StaleVersionError,
    StatementTimeoutError,
    TokenExpiredError,
    TokenRejectedError,
    UnknownReferenceError,
    UpstreamContractError,
    UpstreamUnavailableError,
)

_MAX_RETRY_AFTER_S = 3600
# PostgreSQL quotes the whole refused row here: the caller's own data, but of no help to them.
_QUOTED_ROW = "Failing row contains"


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The members of a PostgREST error body; absent ones are empty."""

    code: str = ""
    message: str = ""
    details: str = ""
    hint: str = ""

    @property
    def explanation(self) -> str:
        """Message, detail and hint as sentences."""
        details = "" if self.details.startswith(_QUOTED_ROW) else self.details
        parts = [part.strip().rstrip(".") for part in (self.message, details, self.hint)]
        return ". ".join(part for part in parts if part) + "."


def parse_error_body(content: bytes) -> ErrorBody | None:
    """Read an error body; None if it is not PostgREST's JSON (a proxy's page, say)."""
    try:
        document = json.loads(content)
    except ValueError:
        return None
    if not isinstance(document, dict) or not isinstance(document.get("message"), str):
        return None
    return ErrorBody(**{name: _text(document.get(name)) for name in ErrorBody.__dataclass_fields__})


def error_from_response(
    status: int, headers: Mapping[str, str], content: bytes, *, retry_after_s: int
) -> ServiceError:
    """Return the error that a failed call stands for.

    Args:
        status: HTTP status of the answer, not 2xx.
        headers: Headers of the answer; ``Retry-After`` is passed on.
        content: Body as received.
        retry_after_s: Seconds to tell the caller when the answer names none.

    Source:
        docs/reference/database.md, Errors; PostgREST 14, "Errors".
    """
    wait_s = _retry_after(headers, retry_after_s)
    body = parse_error_body(content)
    if body is None or not body.code:
        return _from_status(status, body, wait_s)
    if body.code.startswith("PGRST"):
        return _from_postgrest_code(body, status, wait_s)
    return error_from_sqlstate(body, wait_s)


def error_from_sqlstate(body: ErrorBody, wait_s: int = 1) -> ServiceError:
    """Return the error that a refusal of the database itself stands for."""
    return _from_own_sqlstate(body) or _from_standard_sqlstate(body, wait_s)


def _from_own_sqlstate(body: ErrorBody) -> ServiceError | None:
    """Read the codes that our migrations raise; docs/reference/database.md, Errors."""
    match body.code:
        case "PT404":
            said = explain_no_row(body.message, body.details)
            return NotFoundError(said or body.explanation)
        case "PT409":
            return ConflictError(explain_deleted(body.message, body.details) or body.explanation)
        case "PS001":
            return ReplayedError(body.explanation)
        case "PS002":
            return KeyReusedError.of_another()
        case "PS003":
            return StaleVersionError(body.explanation)
        case _:
            return None


def _from_standard_sqlstate(body: ErrorBody, wait_s: int) -> ServiceError:
    code = body.code
    match code:
        case "42501" if "row-level security policy" in body.explanation:
            return ForbiddenError("Your role may not write this row. Ask a manager or an admin.")
        case "42501":
            return ForbiddenError(f"The database refused this for your role: {body.explanation}")
        case "23505":
            return AlreadyExistsError(
                explain_taken(body.message)
                or f"A value that must be unique is taken: {body.explanation}"
            )
        case "23503":
            return _from_foreign_key(body)
        case "23514":
            return RuleRefusedError(explain_check(body.message) or body.explanation)
        case "23502" | "P0001":
            return RuleRefusedError(body.explanation)
        case "P0002":
            return NotFoundError(body.explanation)
        case "40001" | "40P01":
            return BusyError(
                "Others keep changing the same rows. Nothing was written; try again.",
                retry_after_s=wait_s,
            )
        case "57014":
            return StatementTimeoutError(
                "The statement took too long and was undone. Ask for less, or try again.",
                retry_after_s=wait_s,
            )
        case _:
            return _from_sqlstate_class(body, wait_s)


def _from_foreign_key(body: ErrorBody) -> ServiceError:
    if body.message == DELETED_CUSTOMER:
        return CustomerDeletedError(
            "The customer is deleted, so nothing new can be written for them. "
            "Restore the customer first, or choose another."
        )
    return UnknownReferenceError(
        explain_unknown_reference(body.message)
        or f"The row refers to one that does not exist: {body.explanation}"
    )


def _from_sqlstate_class(body: ErrorBody, wait_s: int) -> ServiceError:
    match body.code[:2]:
        case "22":
            return RuleRefusedError(body.explanation)
        case "08" | "53" | "57":
            return UpstreamUnavailableError(
                "The database cannot serve right now. Try again.", retry_after_s=wait_s
            )
        case _:
            return UpstreamContractError(
                f"The database failed with SQLSTATE {body.code}. If this stays, compare its "
                "schema with supabase/migrations.",
                retry_after_s=wait_s,
            )


def _from_postgrest_code(body: ErrorBody, status: int, wait_s: int) -> ServiceError:
    match body.code:
        case "PGRST303" if "expired" in body.message.lower():
            return TokenExpiredError(
                "The access token has expired. Refresh the session and send the new token."
            )
        case "PGRST301" | "PGRST302" | "PGRST303":
            return TokenRejectedError(
                "The database does not accept this access token. Sign in again and send its token."
            )
        case "PGRST202" | "PGRST204" | "PGRST205":
            return UpstreamContractError(
                "The database lacks a table, column or function of this service. Apply "
                "supabase/migrations, then reload PostgREST's schema cache.",
                retry_after_s=wait_s,
            )
        case _ if status >= 500:
            return UpstreamUnavailableError(
                "The database's REST endpoint cannot serve right now. Try again.",
                retry_after_s=wait_s,
            )
        case _:
            return UpstreamContractError(
                f"PostgREST refused the service's request ({body.code}).", retry_after_s=wait_s
            )


def _from_status(status: int, body: ErrorBody | None, wait_s: int) -> ServiceError:
    if status in {401, 403} and body is not None:
        return UpstreamContractError(
            "The Supabase gateway refused this service's key. Check SUPABASE_URL and "
            "SUPABASE_PUBLISHABLE_KEY of the service.",
            retry_after_s=wait_s,
        )
    if status == 429 or status >= 500:
        return UpstreamUnavailableError(
            f"Supabase answered {status}. Try again.", retry_after_s=wait_s
        )
    return UpstreamContractError(
        f"The REST endpoint answered {status} without an error code. Is SUPABASE_URL right?",
        retry_after_s=wait_s,
    )


def _retry_after(headers: Mapping[str, str], fallback_s: int) -> int:
    value = headers.get("retry-after", "")
    return min(int(value), _MAX_RETRY_AFTER_S) if value.isdecimal() else fallback_s


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
