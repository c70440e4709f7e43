"""How one write reaches the database, and how its outcome is found out when it is not known."""

from __future__ import annotations

from typing import Any

from portal_sdk._core.json_value import as_list, as_object
from portal_sdk._core.outbox_table import (
    RowMissing,
    WriteApplied,
    WriteEvent,
    WriteFailed,
    WriteRefused,
    WriteStale,
)
from portal_sdk._core.write import Entry, Write, WriteKind
from portal_sdk._runtime.http import HttpApi
from portal_sdk.errors import (
    AuthError,
    ConflictError,
    NoCustomerError,
    ProtocolError,
    RestError,
)
from portal_sdk.types import Row

DUPLICATE = "23505"
NOT_SEEN = "The customer who wrote this is not linked to this user now; the write waits"


class WriteApi:
    """Sends writes to PostgREST as the signed-in customer."""

    def __init__(self, http: HttpApi) -> None:
        self._http = http

    async def send(self, entry: Entry, *, token: str, is_repetition: bool = False) -> WriteEvent:
        """Send one write, or send it once more, and return what became of it.

        A repetition is recognised by the row id (insert, call) or by the row version and the
        idempotency key in the feed (patch): OUT-2 to OUT-4. Of a repetition that is refused, it
        is found out first whether the sending before it took effect: OUT-14.

        Raises:
            PortalError: Nothing is known about the outcome.
        """
        write = entry.write
        try:
            if write.makes_row:
                return await self._make_row(write, token)
            return await self._patch(entry, token)
        except RestError as error:
            if error.retryable:
                return WriteFailed(write.write_id, error)
            if is_repetition and (earlier := await self._find_earlier(write, error, token)):
                return earlier
            return WriteRefused(write.write_id, error)
        except (AuthError, ProtocolError) as error:
            return WriteFailed(write.write_id, error)

    async def look(self, entry: Entry, *, token: str) -> RowMissing | None:
        """Ask whether the row of a confirmed write is still there to be seen."""
        row = await self._read(entry.write, token)
        return RowMissing(entry.write.write_id) if row is None else None

    async def _make_row(self, write: Write, token: str) -> WriteEvent:
        path = f"/rest/v1/{write.table}"
        if write.kind is WriteKind.CALL:
            path = f"/rest/v1/rpc/{write.function}"
        try:
            answer = await self._http.request(
                "POST", path, json=write.values, token=token, headers=_headers(write)
            )
        except ConflictError as error:
            if error.code != DUPLICATE:
                raise
            row = await self._read(write, token)
            if row is None and not await self._is_in_feed(write, token):
                raise
            return WriteApplied(write.write_id, row)
        return WriteApplied(write.write_id, _only_row(answer))

    async def _patch(self, entry: Entry, token: str) -> WriteEvent:
        write = entry.write
        params = {"id": f"eq.{write.row_id}"}
        body: Row = write.values
        if write.kind is WriteKind.PATCH:
            if entry.sent_version is None:
                return WriteStale(write.write_id, await self._read(write, token))
            params["version"] = f"eq.{entry.sent_version}"
            body = entry.sent_body or {}
        rows = await self._http.request(
            "PATCH", f"/rest/v1/{write.table}",
            json=body, params=params, token=token, headers=_headers(write),
        )  # fmt: skip
        if rows:
            return WriteApplied(write.write_id, _only_row(rows))
        return await self._find_outcome(entry, token)

    async def _find_outcome(self, entry: Entry, token: str) -> WriteEvent:
        """OUT-4: no row was changed; find out why."""
        write = entry.write
        row = await self._read(write, token)
        if row is None:
            if not await self._sees_customer(write, token):
                return WriteFailed(write.write_id, NoCustomerError(NOT_SEEN))
            return WriteStale(write.write_id, None)
        if write.kind is WriteKind.MARK:
            is_marked = all(row.get(column) is not None for column in write.values)
        else:
            is_marked = await self._is_in_feed(write, token)
        if is_marked:
            return WriteApplied(write.write_id, row)
        is_same = write.kind is WriteKind.MARK or row.get("version") == entry.sent_version
        # Nobody else changed it, and still it may not be written in its present state.
        return WriteStale(write.write_id, None if is_same else row)

    async def _find_earlier(
        self, write: Write, error: RestError, token: str
    ) -> WriteApplied | WriteFailed | None:
        """Return what is known of an earlier sending; None if it had no effect."""
        row = await self._read(write, token) if write.makes_row else None
        if row is not None or await self._is_in_feed(write, token):
            return WriteApplied(write.write_id, row)
        if not await self._sees_customer(write, token):
            return WriteFailed(write.write_id, error)  # whoever sees nothing knows nothing
        return None

    async def _sees_customer(self, write: Write, token: str) -> bool:
        """Return whether the caller is the customer who wrote it, at this moment."""
        customer_id = write.scope.partition(":")[2]
        params = {"id": f"eq.{customer_id}", "select": "id", "limit": "1"}
        return bool(
            await self._http.request("GET", "/rest/v1/customers", params=params, token=token)
        )

    async def _read(self, write: Write, token: str) -> Row | None:
        params = {"id": f"eq.{write.row_id}", "limit": "1"}
        rows = await self._http.request(
            "GET", f"/rest/v1/{write.table}", params=params, token=token
        )
        return _only_row(rows) if rows else None

    async def _is_in_feed(self, write: Write, token: str) -> bool:
        params = {
            "scope": f"eq.{write.scope}",
            "request_id": f"eq.{write.write_id}",
            "select": "n",
            "limit": "1",
        }
        rows = await self._http.request("GET", "/rest/v1/sync_changes", params=params, token=token)
        return bool(rows)


def _headers(write: Write) -> dict[str, str]:
    return {"Idempotency-Key": write.write_id, "Prefer": "return=representation"}


def _only_row(answer: Any) -> Row:
    rows = as_list(answer)
    row = as_object(rows[0] if rows is not None and len(rows) == 1 else answer)
    if row is None or "id" not in row:
        raise ProtocolError("The database answered a write with something unexpected")
    return row
