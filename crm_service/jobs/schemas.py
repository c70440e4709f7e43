"""Bodies and rows of jobs."""

from typing import Any, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crm_service.fields import (
    Body,
    CreateBody,
    IdRecord,
    Instant,
    LongText,
    Name,
    ShortText,
    Stamp,
    UpdateBody,
    VersionedBody,
    optional_field,
)

JobStatus: TypeAlias = Literal["requested", "scheduled", "in_progress", "completed", "cancelled"]

_TIMES: dict[str, Any] = {
    "scheduled_start": "2026-12-01T09:00:00Z",
    "scheduled_end": "2026-12-01T11:00:00Z",
}


class JobCreate(CreateBody):
    """A new job; with a start it is scheduled, without one it is requested."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "c0000000-0000-4000-8000-000000000001",
                "title": "Service the boiler",
                **_TIMES,
            }
        }
    )

    customer_id: UUID
    title: Name
    description: LongText | None = None
    address: ShortText | None = None
    scheduled_start: Instant | None = None
    scheduled_end: Instant | None = None

    @model_validator(mode="after")
    def _refuse_end_without_start(self) -> Self:
        if self.scheduled_end is not None and self.scheduled_start is None:
            raise ValueError("scheduled_end needs a scheduled_start")
        return self

    def columns(self) -> dict[str, Any]:
        """Return the columns to insert."""
        status = "requested" if self.scheduled_start is None else "scheduled"
        return {**super().columns(), "status": status}


class JobUpdate(UpdateBody):
    """Changes to what a job is about; its progress has its own calls."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"title": "Service two boilers", "version": 1}}
    )

    title: Name = optional_field()
    description: LongText | None = None
    address: ShortText | None = None


class JobSchedule(VersionedBody):
    """When a job takes place."""

    model_config = ConfigDict(json_schema_extra={"example": _TIMES})

    scheduled_start: Instant
    scheduled_end: Instant | None = None

    def changes(self) -> dict[str, Any]:
        """Return both ends: a new start without an end must not keep the old end."""
        return self.model_dump(exclude={"version"})


class JobStep(VersionedBody):
    """A step in the life of a job; without a version it applies to whatever is there."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class JobRead(IdRecord):
    """A job."""

    customer_id: UUID
    title: str
    description: str | None
    address: str | None
    status: JobStatus
    scheduled_start: Stamp | None
    scheduled_end: Stamp | None
    started_at: Stamp | None
    completed_at: Stamp | None
    cancelled_at: Stamp | None
    updated_at: Stamp
    deleted_at: Stamp | None = Field(description="Set when the job was withdrawn.")
    assigned_to: UUID | None = Field(
        default=None, description="Who does it; its own resource with its own version."
    )


class JobAssign(Body):
    """Who is to do a job."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"assigned_to": "a0000000-0000-4000-8000-000000000003"}}
    )

    assigned_to: UUID = Field(description="An active member of staff.")


class JobAssignment(BaseModel):
    """Who does a job; a job that was never assigned is at version 0."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    job_id: UUID
    assigned_to: UUID | None
    version: int
    updated_at: Stamp | None
