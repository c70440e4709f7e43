"""Turns replication messages into changes and inserted broadcast rows. Pure state, no I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

from local_stack.realtime.changes.change import Change, assemble, row_of
from local_stack.realtime.changes.pgoutput import (
    Begin,
    Delete,
    Insert,
    Relation,
    Update,
    changed_table,
    parse,
)
from local_stack.realtime.errors import PgOutputError

log = logging.getLogger(__name__)

_MESSAGES = ("realtime", "messages")
_COMMIT = b"C"  # says nothing that its Begin has not said

Row: TypeAlias = Mapping[str, str | None]


class StreamReader:
    """Remembers table shapes and the current transaction of one stream.

    Args:
        on_row: called with each row inserted into realtime.messages.
        on_change: called with each change of another table that somebody listens to.
        is_wanted: whether anyone listens to a table, by its oid.
    """

    def __init__(
        self,
        on_row: Callable[[Row], None],
        on_change: Callable[[Change], None],
        is_wanted: Callable[[int], bool],
    ) -> None:
        self._on_row = on_row
        self._on_change = on_change
        self._is_wanted = is_wanted
        self._relations: dict[int, Relation] = {}
        self._broadcasts: set[int] = set()
        self._begin = Begin(0, 0, 0)

    def feed(self, data: bytes) -> None:
        """Take one message; one that cannot be read is logged and skipped."""
        try:
            self._feed(data)
        except PgOutputError as error:
            log.warning("a replication message cannot be read: %s", error)

    def _feed(self, data: bytes) -> None:
        if data[:1] == _COMMIT:
            return
        table = changed_table(data)
        if table is not None and table in self._relations and not self._is_needed(table):
            return  # most changes: nobody listens to the table, and the row is not even read
        message = parse(data)
        if isinstance(message, Begin):
            self._begin = message
        elif isinstance(message, Relation):
            self._relations[message.oid] = message
            if (message.schema, message.name) == _MESSAGES:
                self._broadcasts.add(message.oid)
            else:
                self._broadcasts.discard(message.oid)
        elif isinstance(message, Insert | Update | Delete):
            relation = self._relations.get(message.oid)
            if relation is None:
                raise PgOutputError("a change of a table that was not described")
            if relation.oid in self._broadcasts:
                if isinstance(message, Insert):
                    self._on_row(row_of(relation, message.new))
            else:
                self._on_change(assemble(message, relation, self._begin))

    def _is_needed(self, table: int) -> bool:
        return table in self._broadcasts or self._is_wanted(table)

    def reset(self) -> None:
        """Forget everything; a new stream describes every table again."""
        self._relations.clear()
        self._broadcasts.clear()
        self._begin = Begin(0, 0, 0)
