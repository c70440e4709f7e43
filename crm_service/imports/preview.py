"""What an import would do: compare its rows with those that are there, and write nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from crm_service.access import Reader
from crm_service.bulk.kinds import Kind

Outcome: TypeAlias = Literal["created", "updated", "unchanged"]
# The ids stand in the address of the request.
_AT_ONCE = 200
# What saving a row again leaves as it is, besides the status of a job (private.bulk_group).
_KEPT = frozenset({"id", "customer_id", "assigned_to"})


async def preview_rows(
    reader: Reader, kind: Kind, rows: Sequence[dict[str, Any]]
) -> dict[str, Outcome]:
    """Return what would become of each row by its key.

    Args:
        reader: Who asks.
        kind: What the rows are.
        rows: Their columns; of a key that is there twice, the last one counts.
    """
    outcomes: dict[str, Outcome] = {}
    for start in range(0, len(rows), _AT_ONCE):
        part = {str(row[kind.key]): row for row in rows[start : start + _AT_ONCE]}
        columns = {kind.key}.union(*part.values())
        query = {"select": ",".join(sorted(columns)), kind.key: f"in.({','.join(part)})"}
        stored = {str(row[kind.key]): row for row in await reader.select(kind.table, query)}
        for key, row in part.items():
            outcomes[key] = _outcome(kind, stored.get(key), row)
    return outcomes


async def stored_ids(reader: Reader, kind: Kind, ids: Sequence[str]) -> set[str]:
    """Return those of the ids that the caller's rows of a kind have."""
    stored: set[str] = set()
    for start in range(0, len(ids), _AT_ONCE):
        named = ",".join(ids[start : start + _AT_ONCE])
        query = {"select": kind.key, kind.key: f"in.({named})"}
        stored.update(str(row[kind.key]) for row in await reader.select(kind.table, query))
    return stored


def _outcome(kind: Kind, stored: dict[str, Any] | None, row: dict[str, Any]) -> Outcome:
    if stored is None:
        return "created"
    same = all(
        _same(stored[column], value)
        for column, value in row.items()
        if column not in _KEPT and (kind.table, column) != ("jobs", "status")
    )
    return "unchanged" if same else "updated"


def _same(stored: Any, given: Any) -> bool:
    """Tell whether two JSON values are the same; an instant may be written in two ways."""
    if stored == given:
        return True
    try:
        return datetime.fromisoformat(stored) == datetime.fromisoformat(given)
    except (TypeError, ValueError):
        return False
