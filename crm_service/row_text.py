"""Rows as PostgreSQL prints them, passed on without being read; pure.

Reading, checking and printing 50 rows again takes as long as all else that a request costs here.
"""

from dataclasses import dataclass

# Between the rows of json_agg; within a row there is no line break, because jsonb is printed
# without any and strings have theirs escaped.
_BETWEEN = b", \n "


@dataclass(frozen=True, slots=True)
class RowsText:
    """A JSON array of rows; false if it is empty."""

    text: bytes

    def __bool__(self) -> bool:
        return self.text.strip() != b"[]"

    @property
    def count(self) -> int | None:
        """How many rows there are; None if PostgreSQL did not print them, or only one."""
        if not self:
            return 0
        between = self.text.count(_BETWEEN)
        # Whether one row is one cannot be told by what is between rows.
        plain = between and self.text.startswith(b"[{") and self.text.endswith(b"}]")
        return between + 1 if plain else None

    def only(self) -> bytes:
        """Return the row of an array of one."""
        return self.text.strip()[1:-1]

    def first(self) -> bytes:
        """Return the first row of an array of several."""
        return self.text[1 : self.text.index(_BETWEEN)]

    def without_last(self) -> tuple[bytes, bytes]:
        """Return the array without its last row, and the row before that one."""
        end = self.text.rindex(_BETWEEN)
        begin = self.text.rfind(_BETWEEN, 0, end)
        row = self.text[begin + len(_BETWEEN) if begin >= 0 else 1 : end]
        return self.text[:end] + b"]", row
