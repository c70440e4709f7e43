"""Bodies and rows of calls."""

from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, StringConstraints

from crm_service.fields import (
    CreateBody,
    IdRecord,
    Instant,
    LongText,
    Stamp,
    UpdateBody,
    optional_field,
)

Direction: TypeAlias = Literal["inbound", "outbound"]
Outcome: TypeAlias = Literal["connected", "no_answer", "voicemail", "busy", "demo_booked", "other"]
NextAction = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]

_EXAMPLE: dict[str, Any] = {
    "customer_id": "c0000000-0000-4000-8000-000000000001",
    "direction": "outbound",
    "started_at": "2026-12-01T09:00:00Z",
    "ended_at": "2026-12-01T09:07:30Z",
    "outcome": "demo_booked",
    "notes": "Wants to see the spring offer.",
    "next_action": "Send the offer",
}


class CallCreate(CreateBody):
    """A call, running or over."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    customer_id: UUID
    direction: Direction
    staff_id: UUID | None = None
    started_at: Instant = optional_field()
    ended_at: Instant | None = None
    outcome: Outcome | None = None
    notes: LongText | None = None
    next_action: NextAction | None = None


class CallUpdate(UpdateBody):
    """Changes to a call, such as its end and outcome."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"ended_at": "2026-12-01T09:07:30Z", "outcome": "connected", "version": 1}
        }
    )

    direction: Direction = optional_field()
    staff_id: UUID = optional_field()
    started_at: Instant = optional_field()
    ended_at: Instant | None = None
    outcome: Outcome | None = None
    notes: LongText | None = None
    next_action: NextAction | None = None


class CallRead(IdRecord):
    """A call."""

    customer_id: UUID
    staff_id: UUID | None
    direction: Direction
    started_at: Stamp
    ended_at: Stamp | None
    outcome: Outcome | None
    notes: str | None
    next_action: str | None
    updated_at: Stamp
