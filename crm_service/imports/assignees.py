"""Whom a new lead may be given to, asked before its customer is written.

The database decides this when the lead is written. But the customer comes first, and would stay
behind without its lead.
"""

from collections.abc import Iterable

from crm_service.access import Reader
from crm_service.errors import (
    ForbiddenError,
    RuleRefusedError,
    ServiceError,
    UnknownReferenceError,
)

# The ids stand in the address of the request.
_AT_ONCE = 200


async def refused_assignees(reader: Reader, ids: Iterable[str]) -> dict[str, ServiceError]:
    """Return those to whom the caller cannot give a lead, and why."""
    others = sorted(set(ids) - {str(reader.caller.subject.user_id)})
    if not others:
        return {}
    if (await reader.identify())["role"] == "agent":
        error = ForbiddenError("Your role may not write this row. Ask a manager or an admin.")
        return dict.fromkeys(others, error)
    active: dict[str, bool] = {}
    for start in range(0, len(others), _AT_ONCE):
        named = ",".join(others[start : start + _AT_ONCE])
        query = {"select": "user_id,active", "user_id": f"in.({named})"}
        found = await reader.select("staff", query)
        active |= {row["user_id"]: row["active"] for row in found}
    return {one: _refusal(known=one in active) for one in others if not active.get(one)}


def _refusal(*, known: bool) -> ServiceError:
    if not known:
        return UnknownReferenceError(
            "There is no member of staff with the id given as assigned_to."
        )
    return RuleRefusedError(
        "a lead cannot be assigned to somebody who is not active. Choose an active member of staff."
    )


__all__ = ["refused_assignees"]
