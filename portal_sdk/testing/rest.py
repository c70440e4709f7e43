"""What a customer's portal asks of PostgREST, answered from a FakeFeed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from portal_sdk._runtime.http import HttpAnswer, HttpRequest
from portal_sdk.testing.feed import FakeFeed, now_text
from portal_sdk.types import Row

PREFIX = "/rest/v1/"
WRITABLE = {
    "customers": {"name", "email", "phone", "address", "preferences"},
    "messages": {"read_at"},
    "jobs": {"status"},
}


class FakeRest:
    """Reads, conditional updates, inserts with client-made ids, and the RPCs."""

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring

    def answer(self, request: HttpRequest, feed: FakeFeed) -> HttpAnswer:
        """Answer one request of the customer whose feed this is."""
        name = request.path.removeprefix(PREFIX)
        params = dict(request.params)
        body: Row = json.loads(request.content) if request.content else {}
        key = request.headers.get("Idempotency-Key")
        if name.startswith("rpc/"):
            return self._call(name.removeprefix("rpc/"), body, feed, key)
        if request.method == "GET":
            return json_answer(200, _read(name, params, feed))
        if name not in feed.tables:
            return _error(404, "PGRST205", "no such table")
        if request.method == "PATCH":
            return self._patch(name, params, body, feed, key)
        return self._insert(name, body, feed, key)

    def _call(self, name: str, body: Row, feed: FakeFeed, key: str | None) -> HttpAnswer:
        if body.get("scope") not in (None, feed.scope):
            return _error(403, "42501", "not your scope")
        match name:
            case "portal_snapshot":
                return json_answer(200, feed.snapshot())
            case "portal_head":
                return json_answer(200, feed.head())
            case "portal_pull":
                page = feed.pull(body["epoch"], body["after_n"], body["limit"])
                return json_answer(200, page)
            case "redeem_points":
                return self._redeem(body, feed, key)
            case _:
                return _error(404, "PGRST202", "no such function")

    def _redeem(self, body: Row, feed: FakeFeed, key: str | None) -> HttpAnswer:
        ledger = feed.tables["loyalty_transactions"]
        if body["id"] in ledger:
            return _error(409, "23505", "duplicate key")
        latest = max(ledger.values(), key=lambda row: row["entry_no"], default=dict[str, Any]())
        balance = latest.get("balance_after", 0) - body["points"]
        if balance < 0:
            return _error(400, "23514", "the balance is not enough")
        row = {
            "id": body["id"], "customer_id": feed.customer_id, "points": -body["points"],
            "kind": "redeem", "reason": body["reason"], "balance_after": balance,
            "entry_no": latest.get("entry_no", 0) + 1, "created_at": now_text(), "version": 1,
        }  # fmt: skip
        return self._store("loyalty_transactions", row, feed, key, 200)

    def _insert(self, table: str, body: Row, feed: FakeFeed, key: str | None) -> HttpAnswer:
        if body["id"] in feed.tables[table]:
            return _error(409, "23505", "duplicate key")
        if body.get("customer_id") != feed.customer_id:
            return _error(403, "42501", "not your customer")
        defaults: Row = {"status": "requested"} if table == "jobs" else {"read_at": None}
        times = {"created_at": now_text(), "updated_at": now_text(), "version": 1}
        return self._store(table, {**defaults, **body, **times}, feed, key, 201)

    def _patch(
        self, table: str, params: dict[str, str], body: Row, feed: FakeFeed, key: str | None
    ) -> HttpAnswer:
        if not set(body) <= WRITABLE.get(table, set()):
            return _error(403, "42501", "a customer may not set this")
        rows = _read(table, params, feed)
        is_open = table != "jobs" or (rows and rows[0]["status"] == "requested")
        if len(rows) != 1 or not is_open:
            return json_answer(200, [])
        old = rows[0]
        if table == "messages" and old.get("read_at") is not None:
            return json_answer(200, [old])
        row = {**old, **body, "version": old["version"] + 1, "updated_at": now_text()}
        return self._store(table, row, feed, key, 200)

    def _store(
        self, table: str, row: Row, feed: FakeFeed, key: str | None, status: int
    ) -> HttpAnswer:
        feed.put(table, row, key)
        self._ring(feed.customer_id)
        return json_answer(status, [row])


def _read(table: str, params: dict[str, str], feed: FakeFeed) -> list[Row]:
    if table == "sync_changes":
        key = params.get("request_id", "").removeprefix("eq.")
        return [{"n": feed.n}] if feed.has_request(key) else []
    rows: list[Row] = list(feed.tables.get(table, {}).values())
    for column, condition in params.items():
        if condition.startswith("eq."):
            wanted = condition.removeprefix("eq.")
            rows = [row for row in rows if str(row.get(column)) == wanted]
    return rows


def _error(status: int, code: str, message: str) -> HttpAnswer:
    body: dict[str, Any] = {"code": code, "message": message, "details": None, "hint": None}
    return json_answer(status, body)


def json_answer(status: int, body: Any) -> HttpAnswer:
    """Return an answer whose body is JSON."""
    headers = {"content-type": "application/json"}
    return HttpAnswer(status, headers, json.dumps(body).encode())
