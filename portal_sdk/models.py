"""Typed rows of the five portal tables.

Unknown columns are kept (``record.model_extra``), so an older client survives a newer database.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

logger = logging.getLogger("portal_sdk")


ModelT = TypeVar("ModelT", bound="PortalModel")


class PortalModel(BaseModel):
    """A row a customer may see: immutable, with its version."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: UUID
    version: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Customer(PortalModel):
    """The signed-in customer's own record."""

    portal_user_id: UUID | None = None
    name: str = ""
    email: str | None = None
    phone: str | None = None
    address: str | None = None
    branch: str | None = None
    preferences: dict[str, Any] = Field(default_factory=dict)


class Job(PortalModel):
    """A visit or piece of work for the customer.

    ``status`` is one of requested, scheduled, in_progress, completed, cancelled.
    """

    customer_id: UUID
    title: str = ""
    description: str | None = None
    address: str | None = None
    status: str = "requested"
    scheduled_start: datetime | None = None
    scheduled_end: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None


class InvoiceLine(BaseModel):
    """One line of an invoice; amounts in cents of the invoice's currency."""

    model_config = ConfigDict(frozen=True, extra="allow")

    description: str = ""
    quantity: int = 1
    unit_price_cents: int = 0
    amount_cents: int = 0


class Invoice(PortalModel):
    """An invoice that was sent; a draft is never seen here.

    ``status`` is one of sent, paid, overdue, void; amounts are cents of ``currency``.
    """

    customer_id: UUID
    job_id: UUID | None = None
    series: str | None = None
    number: int | None = None
    status: str = "sent"
    currency: str = ""
    total_cents: int = 0
    lines: tuple[InvoiceLine, ...] = ()
    due_on: date | None = None
    sent_at: datetime | None = None
    paid_at: datetime | None = None
    voided_at: datetime | None = None
    notes: str | None = None


class Message(PortalModel):
    """One message of the thread between the customer and the staff."""

    customer_id: UUID
    sender: Literal["staff", "customer"]
    sender_id: UUID | None = None
    sender_name: str | None = None
    body: str = ""
    read_at: datetime | None = None


class LoyaltyTransaction(PortalModel):
    """One entry of the customer's points ledger; entries are never changed."""

    customer_id: UUID
    entry_no: int
    points: int
    balance_after: int
    kind: str = ""
    reason: str | None = None


def construct_leniently(model: type[ModelT], row: Mapping[str, Any]) -> ModelT:
    """Return the record of a row that does not fit its model.

    An older or newer database must not hide a row: every column that fits has its type, any
    other one is as it came, and one that is missing is None or its default.
    """
    values: dict[str, Any] = dict(row)
    odd: list[str] = []
    for name, column in model.model_fields.items():
        try:
            if name in row:
                values[name] = _adapter(model, name).validate_python(row[name])
            elif column.is_required():
                values[name] = None
                odd.append(name)
        except ValidationError:
            odd.append(name)
    _warn_once(model, tuple(odd))
    return model.model_construct(None, **values)  # type: ignore[return-value] # its plugin


def to_column_value(model: type[PortalModel], column: str, value: object) -> Any:
    """Return a value as a record of the model has it: a UUID or a time for its text, and so on.

    Raises:
        ValidationError: The column cannot hold it.
    """
    return _adapter(model, column).validate_python(value)


@functools.cache
def _adapter(model: type[PortalModel], column: str) -> TypeAdapter[Any]:
    annotation: Any = model.model_fields[column].annotation
    return TypeAdapter(annotation)


@functools.cache
def _warn_once(model: type[PortalModel], columns: tuple[str, ...]) -> None:
    """Say which columns are odd, without their values."""
    logger.warning(
        "Rows of %s do not fit this version of the SDK in %s: shown as they came; upgrade the SDK,"
        " or apply the migrations",
        model.__name__, ", ".join(columns),
    )  # fmt: skip


TABLE_MODELS: dict[str, type[PortalModel]] = {
    "customers": Customer,
    "jobs": Job,
    "invoices": Invoice,
    "messages": Message,
    "loyalty_transactions": LoyaltyTransaction,
}
