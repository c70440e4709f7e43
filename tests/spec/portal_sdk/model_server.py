"""The database and the store file as models: what a portal reads, and what it keeps."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.digest import row_hash
from portal_sdk._core.feed import FeedChange, Forms, Head, PullPage, Snapshot
from portal_sdk._core.replica import Commit
from portal_sdk.errors import (
    ConnectError,
    NoCustomerError,
    PermissionDeniedError,
    TokenRejectedError,
)

SCOPE = "customer:c0000000-0000-4000-8000-000000000001"
USER = "b0000000-0000-4000-8000-000000000001"
TABLES: tuple[str, ...] = ("jobs", "messages")


class ModelServer:
    """The database as one customer sees it: rows, and the feed that made them."""

    def __init__(self) -> None:
        self.epoch = "epoch-0"
        self.n = 0
        self.floor = 0
        self.rows: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in TABLES}
        self.log: list[FeedChange] = []
        self.forms = dict.fromkeys(TABLES, "form-0")
        self.token_serial = 0
        self.valid_token: str | None = None
        self.is_linked = True
        self.is_up = True
        self.skips_entry = False
        self._row_serial = 0

    def insert(self, table: str) -> None:
        self._row_serial += 1
        row_id = f"{table}-{self._row_serial}"
        self._upsert(table, {"id": row_id, "version": 1, "form": self.forms[table]})

    def update(self, table: str, pick: int) -> None:
        if row_id := self._pick(table, pick):
            row = self.rows[table][row_id]
            self._upsert(table, {**row, "version": row["version"] + 1})

    def remove(self, table: str, pick: int) -> None:
        if row_id := self._pick(table, pick):
            del self.rows[table][row_id]
            # What was taken back must not stay readable in the log.
            self.log = [
                FeedChange(c.n, c.table, c.row_id, False, None)
                if (c.table, c.row_id, c.is_remove) == (table, row_id, False)
                else c
                for c in self.log
            ]
            self.n += 1
            self.log.append(FeedChange(self.n, table, row_id, True, None))

    def truncate(self, table: str) -> None:
        """Rows vanish and no trigger runs."""
        self.rows[table] = {}

    def rewrite(self, table: str) -> None:
        """Every row gets another value, no version changes, and no trigger runs."""
        self.forms[table] = form = f"form-{int(self.forms[table].split('-')[1]) + 1}"
        self.rows[table] = {i: {**row, "form": form} for i, row in self.rows[table].items()}

    def restore(self) -> None:
        """Continuity is broken: another epoch, another position."""
        self.epoch = f"epoch-{int(self.epoch.split('-')[1]) + 1}"
        self.n = max(0, self.n - 3)
        self.floor = self.n
        self.log = []

    def trim(self) -> None:
        self.floor = self.n
        self.log = []

    def digest(self) -> dict[str, tuple[int, str]]:
        digest = {}
        for table, rows in self.rows.items():
            bits = 0
            for row_id, row in rows.items():
                bits ^= row_hash(row_id, row["version"])
            digest[table] = (len(rows), f"{bits:015x}")
        return digest

    def answer(self, effect: Any, token: str | None) -> Any:
        """Execute a request; return the value, or the error it meets."""
        if not self.is_up:
            return ConnectError("down")
        if token is None or token != self.valid_token:
            return TokenRejectedError("expired")
        if isinstance(effect, do.ResolveScope):
            return SCOPE if self.is_linked else NoCustomerError("no customer")
        if not self.is_linked:
            return PermissionDeniedError("not yours", status=403, code="42501")
        if isinstance(effect, do.RequestSnapshot):
            rows, forms = copy.deepcopy(self.rows), dict(self.forms)
            return Snapshot(self.epoch, self.n, rows, self.digest(), forms=forms)
        if isinstance(effect, do.RequestHead):
            return Head(self.epoch, self.n, self.digest(), forms=dict(self.forms))
        return self._pull(effect)

    def _pull(self, effect: do.RequestPull) -> PullPage:
        is_broken = (
            effect.epoch != self.epoch or effect.after_n < self.floor or effect.after_n > self.n
        )
        if is_broken:
            return PullPage(self.epoch, self.n, must_resync=True, reason="epoch")
        changes = [c for c in self.log if c.n > effect.after_n][: effect.limit]
        if self.skips_entry and len(changes) > 1:
            self.skips_entry = False
            del changes[0]
        return PullPage(self.epoch, self.n, tuple(changes))

    def _upsert(self, table: str, row: dict[str, Any]) -> None:
        self.rows[table][row["id"]] = row
        self.n += 1
        self.log.append(FeedChange(self.n, table, row["id"], False, row))

    def _pick(self, table: str, pick: int) -> str | None:
        ids = sorted(self.rows[table])
        return ids[pick % len(ids)] if ids else None


@dataclass
class FakeStore:
    """What would be on disk: only ever changed by whole commits."""

    scope: str | None = None
    epoch: str | None = None
    n: int = 0
    rows: dict[tuple[str, str], Any] = field(default_factory=dict)
    forms: Forms = field(default_factory=dict)

    def commit(self, commit: Commit) -> None:
        if commit.everything is not None:
            self.rows = {
                (table, row_id): row
                for table, rows in commit.everything.items()
                for row_id, row in rows.items()
            }
            self.forms = commit.forms
        for key in commit.removes:
            self.rows.pop(key, None)
        for table, row_id, row in commit.upserts:
            self.rows[table, row_id] = row
        self.scope, self.epoch, self.n = commit.scope, commit.epoch, commit.n

    def tables(self) -> dict[str, dict[str, Any]]:
        tables: dict[str, dict[str, Any]] = {}
        for (table, row_id), row in self.rows.items():
            tables.setdefault(table, {})[row_id] = row
        return tables

    def opened(self) -> ev.StoreOpened:
        return ev.StoreOpened(self.scope, self.epoch, self.n, self.tables(), forms=dict(self.forms))
