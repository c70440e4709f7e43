"""The change feed of a FakeProject: rows, a dense log per customer, and its three RPCs."""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from portal_sdk._core.digest import TableDigest
from portal_sdk.models import TABLE_MODELS
from portal_sdk.types import Row


def now_text() -> str:
    """Return this moment as the database writes it."""
    return datetime.now(UTC).isoformat()


@dataclass
class FakeFeed:
    """One customer's slice and its log."""

    customer_id: str
    epoch: str = field(default_factory=lambda: str(uuid.uuid4()))
    n: int = 0
    floor: int = 0
    log: list[Row] = field(default_factory=list)
    tables: dict[str, dict[str, Row]] = field(
        default_factory=lambda: {name: {} for name in TABLE_MODELS}
    )

    @property
    def scope(self) -> str:
        """The feed scope."""
        return f"customer:{self.customer_id}"

    def put(self, table: str, row: Row, request_id: str | None = None) -> None:
        """Store a row and log it."""
        self.tables[table][row["id"]] = row
        self._log(table, row["id"], "upsert", row, request_id)

    def take(self, table: str, row_id: str) -> None:
        """Remove a row, blank what the log says about it, and log the removal."""
        row = self.tables[table].pop(row_id)
        for item in self.log:
            if (item["table"], item["row_id"]) == (table, row_id):
                item["row"] = None
        self._log(table, row_id, "remove", None, None, row["version"] + 1)

    def restart(self) -> None:
        """Break continuity, as a restore does: another epoch, and an empty log."""
        self.epoch = str(uuid.uuid4())
        self.floor = self.n
        self.log = []

    def snapshot(self) -> Row:
        """Answer portal_snapshot."""
        tables = {name: list(rows.values()) for name, rows in self.tables.items()}
        return copy.deepcopy({**self.head(), "tables": tables})

    def head(self) -> Row:
        """Answer portal_head."""
        digest: Row = {}
        for name, rows in self.tables.items():
            made = TableDigest()
            for row_id, row in rows.items():
                made.add(row_id, row["version"])
            count, text = made.freeze()
            digest[name] = {"count": count, "hash": text}
        return {
            "scope": self.scope, "epoch": self.epoch, "n": self.n, "floor": self.floor,
            "now": now_text(), "digest": digest,
        }  # fmt: skip

    def pull(self, epoch: str, after_n: int, limit: int) -> Row:
        """Answer portal_pull."""
        reason = None
        if epoch != self.epoch:
            reason = "epoch"
        elif after_n < self.floor:
            reason = "floor"
        elif after_n > self.n:
            reason = "ahead"
        changes = [] if reason else [item for item in self.log if item["n"] > after_n][:limit]
        answer: dict[str, Any] = {
            "scope": self.scope, "epoch": self.epoch, "n": self.n, "floor": self.floor,
            "now": now_text(), "must_resync": reason is not None, "reason": reason,
            "changes": changes,
        }  # fmt: skip
        return copy.deepcopy(answer)

    def has_request(self, request_id: str) -> bool:
        """Return whether a logged change carries this idempotency key."""
        return any(item["request_id"] == request_id for item in self.log)

    def _log(
        self, table: str, row_id: str, op: str, row: Row | None, request_id: str | None,
        version: int | None = None,
    ) -> None:  # fmt: skip
        self.n += 1
        self.log.append(
            {
                "n": self.n, "table": table, "row_id": row_id, "op": op,
                "version": row["version"] if row else version, "row": row,
                "request_id": request_id, "committed_at": now_text(),
            }
        )  # fmt: skip
