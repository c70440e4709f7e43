"""Build PostgREST filters from query parameters; pure. Values are always quoted."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from crm_service.pagination import quoted

Filter = tuple[str, str]


def equals(column: str, value: UUID | str | int | None) -> list[Filter]:
    """Keep rows with this value; None keeps all."""
    return [] if value is None else [(column, f"eq.{value}")]


def one_of(column: str, values: Sequence[str] | None) -> list[Filter]:
    """Keep rows with one of these values; None or none keeps all."""
    if not values:
        return []
    return [(column, f"in.({','.join(quoted(value) for value in values)})")]


def between(
    column: str,
    since: datetime | date | int | None,
    until: datetime | date | int | None,
) -> list[Filter]:
    """Keep rows from ``since`` (included) up to ``until`` (excluded)."""
    found: list[Filter] = []
    if since is not None:
        found.append((column, f"gte.{_text(since)}"))
    if until is not None:
        found.append((column, f"lt.{_text(until)}"))
    return found


def search(columns: Sequence[str], text: str | None, of: str = "") -> list[Filter]:
    """Keep rows where every word of ``text`` occurs in one of the columns, in any case.

    Args:
        columns: Where to look.
        text: Words.
        of: Name of the embedded row that has the columns, if it is not the row itself.
    """
    words = (text or "").split()
    return [
        (
            f"{of}.or" if of else "or",
            "(" + ",".join(f"{column}.ilike.{_pattern(word)}" for column in columns) + ")",
        )
        for word in words
    ]


def _pattern(word: str) -> str:
    # PostgREST reads * as %, so a typed * stays a wildcard; % and _ are taken literally.
    literal = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return quoted(f"*{literal}*")


def _text(value: datetime | date | int) -> str:
    return str(value) if isinstance(value, int) else value.isoformat()
