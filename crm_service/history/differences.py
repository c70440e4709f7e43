"""Fold the changes of a row into one difference; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

_NOTHING: Mapping[str, Mapping[str, Any]] = {}


def fold_changes(
    entries: Iterable[Mapping[str, Any]], onto: Mapping[str, Mapping[str, Any]] = _NOTHING
) -> dict[str, dict[str, Any]]:
    """Return per field the value before the first and after the last change.

    Args:
        entries: Log entries with ``old`` and ``new``, oldest first.
        onto: What earlier entries folded to.

    Returns:
        Fields whose value differs in the end, with ``old`` and ``new``.
    """
    before: dict[str, Any] = {field: values["old"] for field, values in onto.items()}
    after: dict[str, Any] = {field: values["new"] for field, values in onto.items()}
    for entry in entries:
        old, new = entry.get("old") or {}, entry.get("new") or {}
        for field in {*old, *new}:
            before.setdefault(field, old.get(field))
            after[field] = new.get(field)
    return {
        field: {"old": before[field], "new": after[field]}
        for field in sorted(before)
        if before[field] != after[field]
    }
