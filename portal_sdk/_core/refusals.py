"""Why a write was refused: typed errors, and their form in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portal_sdk import errors
from portal_sdk._core.write import Write
from portal_sdk.errors import (
    InvalidRequestError,
    NotFoundError,
    PortalError,
    RestError,
    WriteConflictError,
    WriteRefusedError,
)

NOT_FOUND_STATUS = 404


def conflict_error(write: Write, changed: Iterable[str]) -> WriteConflictError:
    """Return the error of a write whose columns someone else changed meanwhile."""
    columns = tuple(sorted(changed))
    return WriteConflictError(
        f"{', '.join(columns)} of {write.table} changed after the user saw it: show the present"
        " value, then retry the write from portal.outbox, or discard it",
        write_id=write.write_id, table=write.table, columns=columns,
    )  # fmt: skip


def row_gone_error(write: Write) -> NotFoundError:
    """Return the error of a write on a row that is not there, or may not be written."""
    return NotFoundError(
        f"The row of {write.table} is gone, or it cannot be changed in its present state",
        status=NOT_FOUND_STATUS,
    )


def refused_error(write: Write, cause: PortalError) -> WriteRefusedError:
    """Return what the application gets for a refusal."""
    if isinstance(cause, WriteRefusedError):
        return cause
    error = WriteRefusedError(
        f"The write to {write.table} was refused: {cause}",
        write_id=write.write_id, table=write.table, code=getattr(cause, "code", ""),
    )  # fmt: skip
    error.__cause__ = cause
    return error


def describe_error(error: PortalError) -> dict[str, Any]:
    """Return the error as JSON values, for the store."""
    described: dict[str, Any] = {"type": type(error).__name__, "message": error.message}
    for name in ("status", "code", "details", "hint", "request_id"):
        described[name] = getattr(error, name, "")
    described["columns"] = list(getattr(error, "columns", ()))
    return described


def restore_error(write: Write, described: Mapping[str, Any]) -> PortalError:
    """Return the error that ``describe_error`` described."""
    message = str(described.get("message", "refused"))
    kind = getattr(errors, str(described.get("type")), InvalidRequestError)
    if kind is WriteConflictError:
        return conflict_error(write, map(str, described.get("columns", ())))
    if not (isinstance(kind, type) and issubclass(kind, RestError)):
        kind = InvalidRequestError
    restored: RestError = kind(message, status=int(described.get("status") or 400))
    restored.code = str(described.get("code", ""))
    restored.details = str(described.get("details", ""))
    restored.hint = str(described.get("hint", ""))
    restored.request_id = str(described.get("request_id", ""))
    return restored
