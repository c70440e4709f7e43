"""Read SQL text as far as needed: split it into statements, compare it, locate errors. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import asyncpg

_TOKEN = re.compile(
    r"""
      (?P<line_comment>--[^\n]*)
    | (?P<block_comment>/\*)
    | (?P<escape_string>\b[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<string>'(?:[^']|'')*')
    | (?P<identifier>"(?:[^"]|"")*")
    | (?P<dollar>(?<![\w$])\$(?P<tag>[A-Za-z_]\w*)?\$)
    | (?P<semicolon>;)
    | (?P<word>\w+)
    | (?P<space>\s+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_TRANSACTION_WORDS = (["begin"], ["commit"], ["rollback"], ["end"], ["abort"])
_BLOCK_EDGE = re.compile(r"/\*|\*/")


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of every token; the texts add up to the input."""
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:  # unreachable: the last alternative takes any character
            return
        kind = match.lastgroup or "other"
        end = match.end()
        if match["block_comment"]:
            kind, end = "comment", _end_of_block_comment(sql, at)
        elif match["line_comment"]:
            kind = "comment"
        elif match["dollar"]:
            close = sql.find(match["dollar"], end)
            kind, end = "dollar", len(sql) if close < 0 else close + len(match["dollar"])
        yield kind, sql[at:end]
        at = end


def _end_of_block_comment(sql: str, start: int) -> int:
    depth = 0
    for edge in _BLOCK_EDGE.finditer(sql, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def split_statements(sql: str) -> list[str]:
    """Split SQL text at the semicolons that end statements.

    Quotes, dollar quotes, comments and `begin atomic … end` bodies are honoured. Comments stay
    with the statement that follows them; a piece of comments alone is dropped.
    """
    statements: list[str] = []
    current: list[str] = []
    has_code = False
    body = _AtomicBody()
    for kind, text in _tokens(sql):
        if kind == "semicolon" and not body.open:
            if has_code:
                statements.append("".join(current).strip())
            current, has_code = [], False
            continue
        current.append(text)
        has_code = has_code or kind not in {"comment", "space"}
        if kind == "word":
            body.see(text.lower())
    if has_code:
        statements.append("".join(current).strip())
    return statements


class _AtomicBody:
    """Whether the reading position is inside `begin atomic … end`."""

    def __init__(self) -> None:
        self._previous = ""
        self._depth = 0

    @property
    def open(self) -> bool:
        return self._depth > 0

    def see(self, word: str) -> None:
        if word == "atomic" and self._previous == "begin":
            self._depth = 1
        elif self.open and word == "case":
            self._depth += 1
        elif self.open and word == "end":
            self._depth -= 1
        self._previous = word


def transaction_control(statements: Iterable[str]) -> str | None:
    """Return the first statement that begins or ends a transaction, None without one."""
    for statement in statements:
        words = [text.lower() for kind, text in _tokens(statement) if kind == "word"][:2]
        if words[:1] in _TRANSACTION_WORDS or words == ["start", "transaction"]:
            return " ".join(words)
    return None


def essence(sql: str) -> str:
    """Return the text without comments, white space and semicolons, for comparing two versions."""
    dropped = {"comment", "space", "semicolon"}
    return "".join(text for kind, text in _tokens(sql) if kind not in dropped)


def failure_detail(error: asyncpg.PostgresError, sql: str) -> str:
    """Return one readable line about a failed file: message, line number, detail, hint.

    Args:
        error: What the server answered to `sql` sent as one text.
        sql: That text.
    """
    parts = [str(error.args[0]) if error.args else type(error).__name__]
    position = getattr(error, "position", None)
    if position is not None and str(position).isdigit():
        parts.append(f"(line {sql.count(chr(10), 0, int(position) - 1) + 1})")
    for name in ("detail", "hint"):
        value = getattr(error, name, None)
        if value:
            parts.append(f"{name}: {value}")
    return " ".join(parts)
