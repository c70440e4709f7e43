"""Where local writes are kept until they are over: in the portal's store file, or in memory."""

from __future__ import annotations

import dataclasses
import json
import logging
import sqlite3
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from portal_sdk._core.write import Entry, Write, WriteKind, WriteState
from portal_sdk.errors import StoreError

logger = logging.getLogger("portal_sdk.outbox")
SCHEMA = """
create table if not exists outbox (
    write_id text primary key,
    owner text not null,
    serial integer not null,
    body text not null
) without rowid;
"""


class OutboxStore(Protocol):
    """Keeps entries by owner; every call is short and synchronous."""

    def load(self, owner: str) -> list[Entry]:
        """Return this owner's entries; nobody else's."""
        ...

    def save(self, owner: str, entry: Entry) -> None:
        """Make one entry durable, replacing what was kept of it.

        Raises:
            StoreError: It is not kept.
        """
        ...

    def forget(self, write_id: str) -> None:
        """Remove one entry."""
        ...


class MemoryOutbox:
    """Keeps entries for as long as the portal lives."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[str, Entry]] = {}

    def load(self, owner: str) -> list[Entry]:
        """Return this owner's entries."""
        return [entry for who, entry in self._entries.values() if who == owner]

    def save(self, owner: str, entry: Entry) -> None:
        """Keep the entry."""
        self._entries[entry.write.write_id] = (owner, entry)

    def forget(self, write_id: str) -> None:
        """Drop the entry."""
        self._entries.pop(write_id, None)


class SqliteOutbox:
    """Keeps entries in the store's file, over the store's own connection (it holds the lock)."""

    def __init__(self, database: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._database = database
        self._is_ready = False

    def load(self, owner: str) -> list[Entry]:
        """Return this owner's entries, oldest first."""
        try:
            with self._opened() as connection:
                rows = connection.execute(
                    "select body from outbox where owner = ? order by serial", (owner,)
                ).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"The outbox cannot be read: {error}") from error
        found = [_try_parse(body) for (body,) in rows]
        entries = [entry for entry in found if entry is not None]
        if unreadable := len(found) - len(entries):
            logger.error("%d unsent writes cannot be read; they are kept, not sent", unreadable)
        return entries

    def save(self, owner: str, entry: Entry) -> None:
        """Make the entry durable, also against a power cut."""
        values = (entry.write.write_id, owner, entry.serial, render_entry(entry))
        self._write("insert or replace into outbox values (?, ?, ?, ?)", values)

    def forget(self, write_id: str) -> None:
        """Remove the entry."""
        self._write("delete from outbox where write_id = ?", (write_id,))

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            with self._opened() as connection:
                connection.execute("pragma synchronous = full")
                try:
                    connection.execute(statement, values)
                finally:
                    connection.execute("pragma synchronous = normal")
        except sqlite3.Error as error:
            raise StoreError(f"The outbox could not be written: {error}") from error

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        with self._database() as connection:
            if not self._is_ready:
                connection.executescript(SCHEMA)
                self._is_ready = True
            yield connection


def render_entry(entry: Entry) -> str:
    """Return the entry as JSON."""
    return json.dumps(dataclasses.asdict(entry), separators=(",", ":"), ensure_ascii=False)


def _try_parse(body: str) -> Entry | None:
    """Return the entry, or None: one that another version wrote must not hold back the others."""
    try:
        return parse_entry(body)
    except (ValueError, KeyError, TypeError):
        return None


def parse_entry(body: str) -> Entry:
    """Return the entry that ``render_entry`` rendered."""
    value: dict[str, Any] = json.loads(body)
    write: dict[str, Any] = value.pop("write")
    write["kind"] = WriteKind(write["kind"])
    value["state"] = WriteState(value["state"])
    return Entry(Write(**write), **value)
