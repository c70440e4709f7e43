"""Whom a new lead may be given to, asked before its customer is written.

The database decides this when the lead is written. But the customer comes first, and would stay
behind without its lead: so the database tries, and undoes it.
"""

from collections.abc import Iterable

from crm_service.access import Writer
from crm_service.errors import ServiceError
from crm_service.upstream_errors import ErrorBody, error_from_sqlstate

_AT_ONCE = 1_000


async def refused_assignees(writer: Writer, ids: Iterable[str]) -> dict[str, ServiceError]:
    """Return those to whom the caller cannot give a lead, and why."""
    asked = sorted(set(ids))
    refused: dict[str, ServiceError] = {}
    for start in range(0, len(asked), _AT_ONCE):
        owners = {"owners": asked[start : start + _AT_ONCE]}
        for row in await writer.call_to_write("try_lead_owners", owners):
            body = ErrorBody(row["code"], row["message"], "", row.get("hint") or "")
            refused[row["id"]] = error_from_sqlstate(body)
    return refused


__all__ = ["refused_assignees"]
