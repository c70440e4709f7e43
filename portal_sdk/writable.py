"""The live tables with what a customer may write: shown at once, sent in the background."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from portal_sdk._arguments import check_object, check_text
from portal_sdk._core.write import PATH_SEPARATOR, Write, WriteKind, column_value
from portal_sdk._runtime.delivery import Subscribers
from portal_sdk.errors import ConfigurationError, StateError
from portal_sdk.models import Customer, Job, LoyaltyTransaction, Message
from portal_sdk.tables import LiveTable, LoyaltyTable, MessageTable, ProfileTable, RowSource
from portal_sdk.types import Change, Row
from portal_sdk.writes import PendingWrite

LONGEST_MESSAGE = 10_000
LONGEST_TITLE = 200
LONGEST_TEXT = {"description": 10_000, "address": 1_000}
LONGEST_REASON = 1000
MOST_POINTS = 1_000_000_000
LONGEST_PROFILE = {"name": 200, "email": 320, "phone": 50, "address": 1_000}


class Writer(Protocol):
    """What the tables need of the portal to write."""

    @property
    def scope(self) -> str:
        """The feed scope of the signed-in customer; StateError while unknown."""
        ...

    @property
    def user_id(self) -> str | None:
        """The signed-in user."""
        ...

    def database_now(self) -> str:
        """Return the time by the database's clock, ISO 8601 in UTC."""
        ...

    def shown_row(self, table: str, row_id: str) -> Row | None:
        """Return a row as it is shown."""
        ...

    def submit(self, write: Write) -> PendingWrite[Any]:
        """Keep, show and send a write."""
        ...


class Messages(MessageTable):
    """The thread between the customer and the staff; the customer writes and reads in it."""

    def __init__(
        self,
        replica: Callable[[], RowSource],
        subscribers: Subscribers[Change[Message]],
        writer: Writer,
    ) -> None:
        super().__init__("messages", Message, replica, subscribers)
        self._writer = writer

    async def send(self, body: str) -> PendingWrite[Message]:
        """Write a message to the staff; it is in the table when this returns.

        Messages of one portal arrive in the order of the calls.

        Args:
            body: 1 to 10,000 characters.

        Returns:
            A handle; ``record.version`` is 0 until the database has confirmed the message.

        Raises:
            ConfigurationError: The body is empty or too long.
            StateError: The customer is not known yet, or the portal is closed.
            StoreError: The write could not be kept; nothing was done.

        Cancellation:
            Nothing is awaited; the message is sent in the background.
        """
        check_text(body, "body", longest=LONGEST_MESSAGE)
        values = {"customer_id": _customer_id(self._writer), "sender": "customer", "body": body}
        shown = {
            "sender_id": self._writer.user_id,
            "sender_name": _own_name(self._writer),
            "read_at": None,
        }
        return _insert(self._writer, "messages", values, shown, lane="messages:thread")

    async def mark_read(self, message_id: str | UUID) -> PendingWrite[Message]:
        """Say that a message of the staff was read; the first time counts.

        Raises:
            StateError: There is no such message, it is the customer's own, or the portal is
                closed.
            StoreError: The write could not be kept; nothing was done.

        Cancellation:
            Nothing is awaited; the receipt is sent in the background.
        """
        row_id = str(message_id)
        row = _present(self._writer, "messages", row_id)
        if row.get("sender") != "staff":
            raise StateError("Only messages of the staff are marked as read by the customer")
        return _write(
            self._writer, WriteKind.MARK, "messages", row_id,
            values={"read_at": self._writer.database_now()}, lane=f"messages:{row_id}",
        )  # fmt: skip


class Jobs(LiveTable[Job]):
    """The customer's jobs; the customer may request one, and take a request back."""

    def __init__(
        self,
        replica: Callable[[], RowSource],
        subscribers: Subscribers[Change[Job]],
        writer: Writer,
    ) -> None:
        super().__init__("jobs", Job, replica, subscribers)
        self._writer = writer

    async def request(
        self, title: str, *, description: str | None = None, address: str | None = None
    ) -> PendingWrite[Job]:
        """Ask for a job; it is in the table, as ``requested``, when this returns.

        Args:
            title: 1 to 200 characters.
            description: What is to be done.
            address: Where, if not at the customer's address.

        Raises:
            ConfigurationError: A text is empty or too long.
            StateError: The customer is not known yet, or the portal is closed.
            StoreError: The write could not be kept; nothing was done.

        Cancellation:
            Nothing is awaited; the request is sent in the background.
        """
        values: Row = {"title": check_text(title, "title", longest=LONGEST_TITLE)}
        for name, text in (("description", description), ("address", address)):
            if text is not None:
                values[name] = check_text(text, name, longest=LONGEST_TEXT[name])
        values["customer_id"] = _customer_id(self._writer)
        return _insert(self._writer, "jobs", values, {"status": "requested"})

    async def cancel_request(self, job_id: str | UUID) -> PendingWrite[Job]:
        """Take back a request that nobody has scheduled yet.

        Raises:
            StateError: There is no such job, or it is not ``requested`` any more.
            StoreError: The write could not be kept; nothing was done.

        Cancellation:
            Nothing is awaited; the cancellation is sent in the background.
        """
        row_id = str(job_id)
        row = _present(self._writer, "jobs", row_id)
        if row.get("status") != "requested":
            raise StateError(
                f"The job is {row.get('status')}: only a requested one can be cancelled here;"
                " write to the staff"
            )
        return _patch(self._writer, "jobs", row_id, {"status": "cancelled"})


class Loyalty(LoyaltyTable):
    """The customer's points ledger; the customer may redeem points."""

    def __init__(
        self,
        replica: Callable[[], RowSource],
        subscribers: Subscribers[Change[LoyaltyTransaction]],
        writer: Writer,
    ) -> None:
        super().__init__("loyalty_transactions", LoyaltyTransaction, replica, subscribers)
        self._writer = writer

    async def redeem(self, points: int, *, reason: str) -> PendingWrite[LoyaltyTransaction]:
        """Spend points; ``balance`` is lower when this returns, if it is known to be enough.

        The database decides whether it is enough. If the balance shown, less the earlier writes
        that are on their way, is not, the entry is sent but not shown before there are enough
        points: ``record`` is None until then, and ``balance`` is never below zero. A refusal
        gives back what was shown.

        Args:
            points: 1 or more.
            reason: What for, 1 to 1,000 characters.

        Raises:
            ConfigurationError: ``points`` is not a positive whole number, or no reason is given.
            StateError: The customer is not known yet, or the portal is closed.
            StoreError: The write could not be kept; nothing was done.

        Cancellation:
            Nothing is awaited; the entry is sent in the background.
        """
        if isinstance(points, bool) or not isinstance(points, int):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigurationError(f"points must be a whole number, not {points!r}")
        if not 1 <= points <= MOST_POINTS:
            raise ConfigurationError(f"points must be 1 to {MOST_POINTS}")
        check_text(reason, "reason", longest=LONGEST_REASON)
        row_id = str(uuid.uuid4())
        shown = {
            "id": row_id, "customer_id": _customer_id(self._writer), "points": -points,
            "kind": "redeem", "reason": reason, "entry_no": 0, "balance_after": 0,
            "created_at": self._writer.database_now(), "version": 0,
        }  # fmt: skip
        return _write(
            self._writer, WriteKind.CALL, "loyalty_transactions", row_id,
            values={"points": points, "reason": reason, "id": row_id}, shown=shown,
            function="redeem_points", lane="loyalty",
        )  # fmt: skip


class Profile(ProfileTable):
    """The customer's own record; the customer may change the contact data and preferences."""

    def __init__(
        self,
        replica: Callable[[], RowSource],
        subscribers: Subscribers[Change[Customer]],
        writer: Writer,
    ) -> None:
        super().__init__("customers", Customer, replica, subscribers)
        self._writer = writer

    async def update(self, **columns: str | None) -> PendingWrite[Customer]:
        """Change contact data; ``portal.customer`` shows it when this returns.

        If someone else changed the same column meanwhile, the write is refused with
        ``WriteConflictError``; changes of other columns are kept, theirs and ours.

        Args:
            columns: ``name``, ``email``, ``phone``, ``address``; None empties one, but not the
                name.

        Raises:
            ConfigurationError: No column, one that a customer may not change, or a text that is
                too long.
            StateError: The customer is not known yet, or the portal is closed.
            StoreError: The write could not be kept; nothing was done.

        Cancellation:
            Nothing is awaited; the change is sent in the background.
        """
        unknown = sorted(set(columns) - set(LONGEST_PROFILE))
        if unknown or not columns:
            raise ConfigurationError(
                f"A customer may change {', '.join(sorted(LONGEST_PROFILE))}"
                + (f", not {', '.join(unknown)}" if unknown else ": name at least one")
            )
        for name, value in columns.items():
            if value is not None or name == "name":
                longest = LONGEST_PROFILE[name]
                check_text(value, name, longest=longest, may_be_empty=name != "name")
        return _patch(self._writer, "customers", _customer_id(self._writer), dict(columns))

    async def set_preferences(self, **preferences: Any) -> PendingWrite[Customer]:
        """Set preferences by key; None removes a key, and keys not named stay as they are.

        Raises:
            ConfigurationError: No key given, a key with a dot, or a value that is not JSON.
            StateError: The customer is not known yet, or the portal is closed.
            StoreError: The write could not be kept; nothing was done.

        Cancellation:
            Nothing is awaited; the change is sent in the background.
        """
        if not preferences:
            raise ConfigurationError("set_preferences needs at least one key")
        if any(PATH_SEPARATOR in key for key in preferences):
            raise ConfigurationError("A preference key must not contain a dot")
        check_object(preferences, "preferences")
        values = {f"preferences{PATH_SEPARATOR}{key}": v for key, v in preferences.items()}
        return _patch(self._writer, "customers", _customer_id(self._writer), values)


# Steps.


def _insert(
    writer: Writer, table: str, values: Row, shown: Row, *, lane: str = ""
) -> PendingWrite[Any]:
    row_id = str(uuid.uuid4())
    now = writer.database_now()  # among rows of the database
    times = {"created_at": now, "updated_at": now, "version": 0}
    values = {"id": row_id, **values}
    return _write(
        writer, WriteKind.INSERT, table, row_id,
        values=values, shown={**values, **times, **shown}, lane=lane or f"{table}:{row_id}",
    )  # fmt: skip


def _patch(writer: Writer, table: str, row_id: str, values: Row) -> PendingWrite[Any]:
    row = _present(writer, table, row_id)
    base = {path: column_value(row, path) for path in values}
    return _write(
        writer, WriteKind.PATCH, table, row_id,
        values=values, base=base, lane=f"{table}:{row_id}",
    )  # fmt: skip


def _write(
    writer: Writer, kind: WriteKind, table: str, row_id: str, *, values: Row, lane: str,
    base: Row | None = None, shown: Row | None = None, function: str | None = None,
) -> PendingWrite[Any]:  # fmt: skip
    return writer.submit(
        Write(
            str(uuid.uuid4()), writer.scope, kind, table, row_id, lane, values,
            base or {}, shown or {}, function, datetime.now(UTC).isoformat(),
        )
    )  # fmt: skip


def _present(writer: Writer, table: str, row_id: str) -> Row:
    row = writer.shown_row(table, row_id)
    if row is None:
        raise StateError(f"There is no such row in {table}: {row_id}")
    return row


def _customer_id(writer: Writer) -> str:
    return writer.scope.partition(":")[2]


def _own_name(writer: Writer) -> str | None:
    row = writer.shown_row("customers", _customer_id(writer))
    return None if row is None else row.get("name")
