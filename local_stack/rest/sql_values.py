"""Bind values: every one is sent as text and cast where it is used."""

from collections.abc import Iterable


class Values:
    """Collects the bind values of one statement."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[str] = []

    def bind(self, value: str) -> str:
        """Add a value; return its placeholder, typed as text."""
        self.items.append(value)
        return f"${len(self.items)}::text"


def array_literal(values: Iterable[str]) -> str:
    """Write PostgreSQL's array literal; it is bound, never put into SQL."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return "{" + ",".join(quoted) + "}"
