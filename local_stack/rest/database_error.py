"""Maps errors of PostgreSQL and of its connection to REST errors, as PostgREST does."""

import json
from typing import Any

import asyncpg

from local_stack.rest.errors import DatabaseError, RestError, UnavailableError

_EXACT = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "53400": 500,
    "57P01": 503,
    "P0001": 400,
    "42P01": 404,
    "42P17": 500,
}
_CLASSES = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "XX": 500,
}
_CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg raises when its transport is already closing
    OSError,
    EOFError,
)
LOST = (*_CONNECTION_LOST, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)


def status_of(sqlstate: str, message: str, *, is_anonymous: bool) -> int:
    """Return the HTTP status of an SQLSTATE.

    Args:
        sqlstate: Five characters.
        message: Primary message; two codes are told apart by it.
        is_anonymous: Whether the role is the anonymous one; 42501 is then 401.
    """
    if sqlstate == "42501":
        return 401 if is_anonymous else 403
    if sqlstate == "42883":
        return 406 if message.startswith("function xmlagg(") else 404
    if sqlstate == "22023":
        missing_role = message.startswith("role") and message.endswith("does not exist")
        return 401 if missing_role else 400
    if sqlstate == "21000":
        return 400 if message.endswith("requires a WHERE clause") else 500
    if sqlstate.startswith("PT"):
        digits = sqlstate[2:]
        return int(digits) if digits.isdigit() and 200 <= int(digits) <= 599 else 500
    return _EXACT.get(sqlstate) or _CLASSES.get(sqlstate[:2], 400)


def to_rest_error(error: BaseException, *, is_anonymous: bool) -> RestError:
    """Turn what the driver raised into what the client gets.

    Args:
        error: From asyncpg or the socket below it.
        is_anonymous: Whether the role is the anonymous one.
    """
    if isinstance(error, _CONNECTION_LOST) or not isinstance(error, asyncpg.PostgresError):
        return UnavailableError("PGRST001")
    code = str(error.sqlstate)
    message = str(getattr(error, "message", None) or error)
    detail: str | None = getattr(error, "detail", None)
    hint: str | None = getattr(error, "hint", None)
    if code == "PGRST":
        return _raised(message, detail)
    status = status_of(code, message, is_anonymous=is_anonymous)
    headers = (("WWW-Authenticate", "Bearer"),) if status == 401 else ()
    return DatabaseError(code, message, details=detail, hint=hint, status=status, headers=headers)


def _raised(message: str, detail: str | None) -> RestError:
    """Answer ``raise sqlstate 'PGRST'``: the function chooses status, headers and body."""
    try:
        body = _object(message, ("code", "message"))
    except ValueError:
        return RestError(
            "PGRST121",
            details=f"Invalid JSON value for MESSAGE: '{message}'",
            hint="MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and "
            "optional keys: 'details', 'hint'.",
        )
    hint = (
        "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: "
        "'status_text'."
    )
    if detail is None:
        return RestError("PGRST121", details="DETAIL is missing in the RAISE statement", hint=hint)
    try:
        control = _object(detail, ("status", "headers"))
        status = int(control["status"])
        headers = tuple((str(name), str(value)) for name, value in control["headers"].items())
    except (ValueError, TypeError, AttributeError):
        return RestError(
            "PGRST121", details=f"Invalid JSON value for DETAIL: '{detail}'", hint=hint
        )
    return DatabaseError(
        str(body["code"]),
        str(body["message"]),
        details=body.get("details"),
        hint=body.get("hint"),
        status=status if 200 <= status <= 599 else 500,
        headers=headers,
    )


def _object(text: str, required: tuple[str, ...]) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict) or any(name not in value for name in required):
        raise ValueError(text)
    return value
