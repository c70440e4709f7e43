"""The two ways into the database, each for staff only: ``Reader`` and ``Writer``.

They are different types so that a route that reads cannot write by accident.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from uuid import UUID

from crm_service.database import Caller, Database, Query, Row
from crm_service.errors import (
    AccessError,
    ConflictError,
    CustomerTokenError,
    ForbiddenError,
    KeyReusedError,
    NotFoundError,
    NotStaffError,
    ReplayedError,
    RuleRefusedError,
    StaffInactiveError,
)
from crm_service.row_text import RowsText

# How long a passed check is remembered. Row-level security judges every statement anyway: the
# check keeps customers from the staff door, and tells people who were removed why they get
# nothing. So it is asked again at once whenever the database gives nothing or refuses, and
# somebody who was staff a moment ago can do no more than in the portal, with the same token.
_GRACE_S = 30.0
_MAX_REMEMBERED = 10_000

_T = TypeVar("_T")


class StaffCheck:
    """Decide whether a caller is an active member of staff; owns the short memory of it."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._confirmed_at: OrderedDict[UUID, float] = OrderedDict()

    def confirmed(self, caller: Caller, *, max_age_s: float) -> bool:
        """Tell whether the caller passed at most ``max_age_s`` seconds ago."""
        confirmed_at = self._confirmed_at.get(caller.subject.user_id)
        return confirmed_at is not None and self._clock() - confirmed_at < max_age_s

    async def require(self, caller: Caller, *, max_age_s: float = 0.0) -> None:
        """Return if the caller is staff now, or was at most ``max_age_s`` seconds ago.

        Raises:
            CustomerTokenError: The caller is a customer.
            StaffInactiveError: The caller was staff.
            NotStaffError: The caller is neither.
            UpstreamError: The database cannot tell.
        """
        if not self.confirmed(caller, max_age_s=max_age_s):
            await self.identify(caller)

    async def identify(self, caller: Caller) -> Row:
        """Return what the database knows about the caller, an active member of staff.

        Raises:
            AccessError: The caller is not one; see ``require``.
        """
        asked_at = self._clock()
        me = await self._database.ask(caller, "staff_me", {})
        if not isinstance(me, dict):
            raise self._database.contract_error("staff_me did not say who is calling.")
        if me.get("standing") == "active":
            self._confirm(caller.subject.user_id, asked_at)
            return me
        self._confirmed_at.pop(caller.subject.user_id, None)
        raise _refusal(str(me.get("standing")))

    def _confirm(self, user_id: UUID, at: float) -> None:
        self._confirmed_at[user_id] = at
        self._confirmed_at.move_to_end(user_id)
        if len(self._confirmed_at) > _MAX_REMEMBERED:
            self._confirmed_at.popitem(last=False)


def _refusal(standing: str) -> AccessError:
    if standing == "customer":
        return CustomerTokenError(
            "This is the staff door and the token belongs to a customer. Customers use the "
            "portal (portal_sdk) with the same session."
        )
    if standing == "inactive":
        return StaffInactiveError(
            "The account is not an active member of staff any more. Ask an admin to activate it."
        )
    return NotStaffError(
        "The account is signed in and is not a member of staff. Ask an admin to add it."
    )


class Reader:
    """Read as a member of staff."""

    def __init__(self, database: Database, staff: StaffCheck, caller: Caller) -> None:
        self._database = database
        self._staff = staff
        self.caller = caller

    async def select(self, table: str, query: Query) -> list[Row]:
        """Return the rows that match, or refuse if the caller is not staff."""
        return await self._guarded(self._database.select(self.caller, table, query))

    def select_text(self, table: str, query: Query) -> Coroutine[Any, Any, RowsText]:
        """Return the same as ``select``, as the database printed it."""
        return self._guarded(self._database.select_text(self.caller, table, query))

    def read_rows(self, text: RowsText) -> list[Row]:
        """Read what ``select_text`` returned."""
        return self._database.read_rows(text.text)

    async def call(self, function: str, arguments: Row) -> Any:
        """Return what a reading function answers; it must refuse others than staff itself."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return await self._guarded(self._database.call(self.caller, function, given, reads=True))

    async def call_for_text(self, function: str, arguments: Row) -> bytes:
        """Return the JSON object that a reading function answers, as the database printed it."""
        return await self._guarded(self._database.call_for_text(self.caller, function, arguments))

    async def identify(self) -> Row:
        """Return what the database knows about the caller."""
        return await self._staff.identify(self.caller)

    async def _guarded(self, read: Coroutine[Any, Any, _T]) -> _T:
        if not self._staff.confirmed(self.caller, max_age_s=_GRACE_S):
            return await _both(self._staff.require(self.caller), read)
        try:
            found = await read
        except ForbiddenError:
            await self._staff.require(self.caller)
            raise
        if not found:
            # What row-level security answers to somebody who was removed, too.
            await self._staff.require(self.caller)
        return found


class Writer(Reader):
    """Write as a member of staff; created only after the staff check has passed."""

    @classmethod
    async def admit(cls, database: Database, staff: StaffCheck, caller: Caller) -> "Writer":
        """Check that the caller is staff, before anything is written.

        Raises:
            AccessError: The caller is not.
        """
        await staff.require(caller, max_age_s=_GRACE_S)
        return cls(database, staff, caller)

    async def insert(self, table: str, row: Row, query: Query = ()) -> Row:
        """Insert one row and return it as stored, or what ``query`` selects of it."""
        return await self._judged(self._database.insert(self.caller, table, row, query))

    async def update(self, table: str, query: Query, changes: Row) -> list[Row]:
        """Change the rows that match and return them."""
        return await self._judged(self._database.update(self.caller, table, query, changes))

    async def call_for_row(self, function: str, arguments: Row) -> Row:
        """Call a writing database function that returns one row."""
        return await self._judged(self._database.call_for_row(self.caller, function, arguments))

    async def call_to_write(self, function: str, arguments: Row) -> Any:
        """Call a writing database function and return what it answers."""
        return await self._judged(self._database.call(self.caller, function, arguments))

    def without_key(self) -> "Writer":
        """Return the same access for writes that are no part of a keyed request."""
        return Writer(self._database, self._staff, self.caller.without_key())

    async def claim(self) -> str:
        """Ask whether this very request took effect before: ``none``, ``same`` or ``other``."""
        caller = self.caller
        if caller.idempotency_key is None or caller.fingerprint is None:
            return "none"
        arguments = {"key": caller.idempotency_key, "fingerprint": caller.fingerprint}
        return str(await self._database.ask(caller, "request_claim", arguments))

    async def earlier_answer(self) -> Any:
        """Return what the first copy of this request was told.

        Raises:
            ReplayedError: It took effect, and what it was told is not kept.
        """
        caller = self.caller
        arguments = {"key": caller.idempotency_key, "fingerprint": caller.fingerprint}
        answer = await self._database.ask(caller, "request_answer", arguments)
        if answer is None:
            raise ReplayedError("This request has taken effect. Read the rows that it wrote.")
        return answer

    async def _judged(self, write: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await write
        except (ReplayedError, KeyReusedError):
            raise
        except ForbiddenError:
            # Someone removed within the grace gets the true reason.
            await self._staff.require(self.caller)
            await self._refuse_copy()
            raise
        except (ConflictError, NotFoundError, RuleRefusedError):
            await self._refuse_copy()
            raise

    async def is_copy(self) -> bool:
        """Tell whether this very request took effect before.

        Raises:
            KeyReusedError: Its key belongs to another request.
        """
        claim = await self.claim()
        if claim == "other":
            raise KeyReusedError.of_another()
        return claim == "same"

    async def _refuse_copy(self) -> None:
        """Raise if a refused request is a copy: what the first one did may be why."""
        if await self.is_copy():
            raise ReplayedError("This request has taken effect.")


async def _both(check: Coroutine[Any, Any, None], read: Coroutine[Any, Any, _T]) -> _T:
    """Run both, leave nothing running, and let the check's error win."""
    reading = asyncio.create_task(read, name="crm-read")
    try:
        await check
        return await reading
    finally:
        if not reading.done():
            reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
