"""Bodies and rows of leads and their notes."""

from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from crm_service.fields import (
    Body,
    Cents,
    CreateBody,
    Currency,
    IdRecord,
    Instant,
    MessageBody,
    Record,
    Stamp,
    UpdateBody,
    optional_field,
)

LeadStatus: TypeAlias = Literal["new", "contacted", "qualified", "demo_scheduled", "won", "lost"]
NoteKind: TypeAlias = Literal["call", "email", "meeting", "general"]
Source = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00]*$")]
Score = Annotated[int, Field(ge=0, le=100, strict=True)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]

MAX_VALUE_CENTS = 100_000_000_000_000
Value = Annotated[Cents, Field(le=MAX_VALUE_CENTS)]

_EXAMPLE: dict[str, Any] = {
    "status": "contacted",
    "score": 60,
    "conversion_probability": 0.4,
    "source": "trade fair",
    "estimated_value_cents": 250_000,
    "next_follow_up_at": "2026-12-01T09:00:00Z",
}


class LeadCreate(Body):
    """A new lead; assigned to the caller unless a manager names somebody."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    status: LeadStatus = optional_field()
    score: Score = optional_field()
    conversion_probability: Probability | None = None
    source: Source | None = None
    estimated_value_cents: Value | None = None
    currency: Currency = optional_field()
    assigned_to: UUID | None = None
    next_follow_up_at: Instant | None = None

    def columns(self, caller: UUID) -> dict[str, Any]:
        """Return the columns to insert."""
        return {"assigned_to": caller, **self.model_dump(exclude_unset=True)}


class LeadUpdate(UpdateBody):
    """Changes to a lead; only managers assign it to somebody else."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"status": "qualified", "score": 80, "version": 1}}
    )

    status: LeadStatus = optional_field()
    score: Score = optional_field()
    conversion_probability: Probability | None = None
    source: Source | None = None
    estimated_value_cents: Value | None = None
    currency: Currency = optional_field()
    assigned_to: UUID | None = None
    next_follow_up_at: Instant | None = None


class LeadRead(Record):
    """A lead; it is named by its customer."""

    customer_id: UUID
    status: LeadStatus
    score: int
    conversion_probability: float | None
    source: str | None
    estimated_value_cents: int | None
    currency: str
    assigned_to: UUID | None
    next_follow_up_at: Stamp | None
    closed_at: Stamp | None
    updated_at: Stamp


class LeadNoteCreate(CreateBody):
    """A note on a lead; the author is the caller."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"kind": "meeting", "body": "Met on site, wants an offer."}}
    )

    kind: NoteKind = optional_field()
    body: MessageBody


class LeadNoteUpdate(UpdateBody):
    """Changes to a note."""

    model_config = ConfigDict(json_schema_extra={"example": {"kind": "email", "version": 1}})

    kind: NoteKind = optional_field()
    body: MessageBody = optional_field()


class LeadNoteRead(IdRecord):
    """A note on a lead."""

    customer_id: UUID
    author_id: UUID | None
    kind: NoteKind
    body: str
    updated_at: Stamp
