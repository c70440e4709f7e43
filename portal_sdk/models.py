"""Typed rows of the five portal tables.

Unknown columns are kept (``record.model_extra``), so an older client survives a newer database.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


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


TABLE_MODELS: dict[str, type[PortalModel]] = {
    "customers": Customer,
    "jobs": Job,
    "invoices": Invoice,
    "messages": Message,
    "loyalty_transactions": LoyaltyTransaction,
}
