"""The database calls of the SDK: three feed RPCs and the customer lookup."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from portal_sdk._core.effects import RequestPull
from portal_sdk._core.feed import (
    Head,
    PullPage,
    Snapshot,
    Tables,
    parse_head,
    parse_pull,
)
from portal_sdk._core.json_value import as_list
from portal_sdk._core.snapshot import read_snapshot
from portal_sdk._runtime.http import HttpAnswer, HttpApi
from portal_sdk._runtime.pieces import run_in_pieces
from portal_sdk.errors import NoCustomerError, NotFoundError, ProtocolError


class DatabaseApi:
    """Calls PostgREST as the signed-in customer; each call names its token."""

    def __init__(self, http: HttpApi) -> None:
        self._http = http

    async def snapshot(self, scope: str, *, token: str) -> HttpAnswer:
        """Ask for everything the caller may see in the scope; see ``read_snapshot``."""
        name = "portal_snapshot"
        try:
            return await self._http.fetch("POST", _path(name), json={"scope": scope}, token=token)
        except NotFoundError as error:
            raise _missing(name, error) from error

    async def read_snapshot(
        self, answer: HttpAnswer, asked_s: float, shown: Tables, is_wanted: Callable[[], bool]
    ) -> Snapshot | None:
        """Decode the answer to ``snapshot``; the event loop is held up for a moment at a time.

        Args:
            answer: What ``snapshot`` returned, a moment ago.
            asked_s: This machine's clock when it was asked for.
            shown: The rows known so far; those that are equal are not kept twice.
            is_wanted: Whether to go on; None is returned otherwise.
        """
        arrived_s = time.time()
        try:
            snapshot = await run_in_pieces(read_snapshot(answer.content, shown), is_wanted)
        except ValueError as error:
            raise self._http.not_json(answer) from error
        if snapshot is not None:
            self._http.clock.note(snapshot.now, asked_s, arrived_s)
        return snapshot

    async def pull(self, asked: RequestPull, token: str) -> PullPage:
        """Read the changes after a cursor."""
        body = {
            "scope": asked.scope, "epoch": asked.epoch, "after_n": asked.after_n,
            "limit": asked.limit,
        }  # fmt: skip
        sent_s = time.time()
        page = parse_pull(await self._rpc("portal_pull", body, token))
        self._http.clock.note(page.now, sent_s, time.time())
        return page

    async def head(self, scope: str, *, token: str) -> Head:
        """Read where the feed stands."""
        sent_s = time.time()
        head = parse_head(await self._rpc("portal_head", {"scope": scope}, token))
        self._http.clock.note(head.now, sent_s, time.time())
        return head

    async def find_scope(self, user_id: str, *, token: str) -> str:
        """Return the feed scope of the customer this user is.

        Raises:
            NoCustomerError: The user is signed in, but linked to no customer.
        """
        params = {"select": "id", "portal_user_id": f"eq.{user_id}", "limit": "2"}
        rows = as_list(
            await self._http.request("GET", "/rest/v1/customers", params=params, token=token)
        )
        if rows is None or len(rows) > 1:
            raise ProtocolError("The customers table answered something unexpected")
        if not rows:
            raise NoCustomerError(
                "This user is signed in, but no customer record is linked to it: ask the staff to"
                " link the account (customers.portal_user_id)",
                user_id=user_id,
            )
        return f"customer:{rows[0]['id']}"

    async def _rpc(self, name: str, body: dict[str, Any], token: str) -> Any:
        try:
            content = to_json(body)  # our own texts and numbers: no need for the strict encoder
            return await self._http.request("POST", _path(name), content=content, token=token)
        except NotFoundError as error:
            raise _missing(name, error) from error


def _path(name: str) -> str:
    return f"/rest/v1/rpc/{name}"


def _missing(name: str, error: NotFoundError) -> ProtocolError:
    """Say which function is missing, where the database only says that one is."""
    return ProtocolError(
        f"The project has no function {name}: apply the migrations in supabase/migrations"
        " (supabase db push)",
        code=error.code,
    )
