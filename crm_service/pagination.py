"""Keyset pagination: 50 rows by default, any allowed order, cursors that survive inserts; pure."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field
from pydantic_core import to_json

from crm_service.errors import InvalidRequestError
from crm_service.printed_response import PrintedResponse

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
NEWEST_FIRST = "-created_at"

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """Some rows of a list, in its order, and where to go on."""

    items: list[T]
    next_cursor: str | None = Field(
        description="Send it as `cursor`, with the same `sort`, for the next page; null on the "
        "last one."
    )


class PageResponse(PrintedResponse):
    """A ``Page`` whose rows are printed already.

    Args:
        items: Them, a JSON array.
        next_cursor: Of the next page.
    """

    def __init__(self, items: bytes, next_cursor: str | None) -> None:
        cursor = b"null" if next_cursor is None else to_json(next_cursor)
        super().__init__(b'{"items":%b,"next_cursor":%b}' % (items, cursor))
        self.is_empty = items.strip() == b"[]"


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of a page.

    Attributes:
        value: Its value in the sorted column, as the database printed it.
        key: Breaks ties.
    """

    value: str | int
    key: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many rows, in which order, and behind which position (None: from the start).

    Attributes:
        sort: Column name, with a leading ``-`` for descending.
    """

    limit: int = DEFAULT_LIMIT
    after: Position | None = None
    sort: str = NEWEST_FIRST

    @property
    def column(self) -> str:
        """Name of the sorted column."""
        return self.sort.removeprefix("-")

    def query(self, key: str = "id") -> list[tuple[str, str]]:
        """Return order, position and limit; one row more shows whether there is a next page.

        Rows without a value in the sorted column are left out: they have no place in the order.

        Args:
            key: Unique column that breaks ties.
        """
        column = self.column
        direction, beyond = ("asc", "gt") if column == self.sort else ("desc", "lt")
        query = [
            ("order", f"{column}.{direction},{key}.{direction}"),
            ("limit", str(self.limit + 1)),
        ]
        if column != "created_at":
            query.append((column, "not.is.null"))
        if self.after is not None:
            value, row = quoted(self.after.value), quoted(self.after.key)
            rest = f"and({column}.eq.{value},{key}.{beyond}.{row})"
            query.append(("or", f"({column}.{beyond}.{value},{rest})"))
        return query

    def cursor_behind(self, row: dict[str, Any], key: str = "id") -> str:
        """Return the cursor of the page behind ``row``."""
        value = row[self.column]
        position = Position(value if isinstance(value, int) else str(value), str(row[key]))
        return render_cursor(self.sort, position)


def quoted(value: str | int) -> str:
    """Quote a value for a PostgREST logic expression or list."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def render_cursor(sort: str, position: Position) -> str:
    """Render a position as an opaque cursor."""
    text = json.dumps([sort, position.value, position.key])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(cursor: str, sort: str) -> Position:
    """Read a cursor back.

    Raises:
        InvalidRequestError: It is not one of ours, or belongs to another order.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        of, value, key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        if isinstance(value, bool) or not isinstance(value, str | int) or "\x00" in str(value):
            raise ValueError("no value of ours")
        if of == sort:
            return Position(value, str(UUID(key)))
    except (binascii.Error, ValueError, TypeError, AttributeError) as error:
        raise _refusal("is not a cursor of this service; start without one") from error
    raise _refusal("belongs to a list in another order; send the same sort, or start without one")


def _refusal(reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The cursor {reason}.", [{"field": "query.cursor", "message": reason}]
    )
