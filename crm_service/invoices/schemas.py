"""Bodies and rows of invoices."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_service.fields import (
    Body,
    CreateBody,
    Currency,
    Day,
    IdRecord,
    ItemCents,
    LongText,
    Quantity,
    Stamp,
    UpdateBody,
    VersionedBody,
    optional_field,
)

InvoiceStatus: TypeAlias = Literal["draft", "sent", "paid", "overdue", "void"]
Series = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9-]{1,16}$")]
ItemText = Annotated[
    str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")
]

MAX_ITEMS = 200


class InvoiceItem(Body):
    """One line of an invoice."""

    id: UUID | None = Field(default=None, description="Chosen by the client, or left out.")
    description: ItemText
    quantity: Quantity = 1
    unit_price_cents: ItemCents


class InvoiceCreate(CreateBody):
    """A draft with its items; the customer sees it once it is sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "c0000000-0000-4000-8000-000000000001",
                "currency": "EUR",
                "due_on": "2026-12-31",
                "items": [
                    {"description": "Boiler service", "quantity": 1, "unit_price_cents": 12000}
                ],
            }
        }
    )

    customer_id: UUID
    job_id: UUID | None = None
    series: Series = optional_field()
    currency: Currency = optional_field()
    due_on: Day | None = None
    notes: LongText | None = None
    items: Annotated[list[InvoiceItem], Field(min_length=1, max_length=MAX_ITEMS)]

    def columns(self) -> dict[str, Any]:
        """Return the invoice's own columns."""
        return self.model_dump(exclude_unset=True, exclude={"id", "items"})

    def item_rows(self) -> list[dict[str, Any]]:
        """Return the items by column name."""
        return [item.model_dump(exclude_none=True) for item in self.items]


class InvoiceItemsReplace(Body):
    """The new items of a draft, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"items": [{"description": "Work", "quantity": 2, "unit_price_cents": 4500}]}
        }
    )

    items: Annotated[list[InvoiceItem], Field(min_length=1, max_length=MAX_ITEMS)]


class InvoiceItemRead(BaseModel):
    """One item as staff see it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: UUID
    position: int
    description: str
    quantity: int
    unit_price_cents: int
    amount_cents: int


class InvoiceItems(BaseModel):
    """All items of an invoice."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    items: list[InvoiceItemRead]


class OverdueRun(Body):
    """Which invoices are overdue."""

    model_config = ConfigDict(json_schema_extra={"example": {"due_before": "2026-12-01"}})

    due_before: Day | None = Field(
        default=None,
        description="Invoices due before this day, which must have begun somewhere on earth; "
        "today (UTC) if left out.",
    )


class OverdueResult(BaseModel):
    """What a run marked."""

    due_before: date
    marked: int


def has_items(stored: Sequence[Mapping[str, Any]], body: InvoiceCreate) -> bool:
    """Tell whether stored items are those of the body; ids count where the body names them."""
    if len(stored) != len(body.items):
        return False
    return all(
        (item.id is None or str(item.id) == row["id"])
        and (item.description, item.quantity, item.unit_price_cents)
        == (row["description"], row["quantity"], row["unit_price_cents"])
        for row, item in zip(stored, body.items, strict=True)
    )


class InvoiceUpdate(UpdateBody):
    """Changes to an invoice; what may still change is decided by the database."""

    model_config = ConfigDict(json_schema_extra={"example": {"due_on": "2027-01-31", "version": 1}})

    job_id: UUID | None = None
    due_on: Day | None = None
    notes: LongText | None = None


class InvoiceStep(VersionedBody):
    """A step in the life of an invoice; without a version it applies to whatever is there."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class InvoiceLine(BaseModel):
    """One line as the customer sees it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: UUID
    position: int
    description: str
    quantity: int
    unit_price_cents: int
    amount_cents: int


class InvoiceRead(IdRecord):
    """An invoice."""

    customer_id: UUID
    job_id: UUID | None
    series: str
    number: int | None = Field(description="Given when the invoice is sent; gap-free per series.")
    status: InvoiceStatus
    currency: str
    total_cents: int
    lines: list[InvoiceLine]
    due_on: date | None
    sent_at: Stamp | None
    paid_at: Stamp | None
    voided_at: Stamp | None
    notes: str | None
    updated_at: Stamp
    deleted_at: Stamp | None
