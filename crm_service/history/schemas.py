"""What the audit log says."""

from typing import Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_service.fields import Stamp, VersionedBody, WholeNumber

HistoryTable: TypeAlias = Literal[
    "customers",
    "leads",
    "lead_notes",
    "calls",
    "jobs",
    "job_notes",
    "job_assignments",
    "invoices",
    "messages",
    "loyalty_transactions",
    "staff",
]
LogTable: TypeAlias = HistoryTable | Literal["customer_secrets"]
Operation: TypeAlias = Literal["insert", "update", "delete", "read"]
ActorKind: TypeAlias = Literal["staff", "customer", "service", "system"]


class HistoryEntry(BaseModel):
    """One change of one row."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int = Field(description="Names this change, for `restore`.")
    at: Stamp
    op: Operation
    version: int | None = Field(description="Of the row after the change.")
    actor: UUID | None
    actor_kind: ActorKind
    actor_name: str | None
    request_id: str | None
    old: dict[str, Any] | None = Field(description="Changed fields before.")
    new: dict[str, Any] | None = Field(description="Changed fields after.")


class History(BaseModel):
    """The changes of one row, newest first."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    table: HistoryTable
    row_id: UUID
    version: int | None = Field(description="Of the row now; null if it is gone.")
    entries: list[HistoryEntry]
    next_before_id: int | None = Field(
        description="Send it as `before_id` for the next page; null on the last one."
    )


class FieldDifference(BaseModel):
    """One field that differs between two versions."""

    old: Any
    new: Any


class Difference(BaseModel):
    """What differs between two versions of a row."""

    table: HistoryTable
    row_id: UUID
    from_version: int
    to_version: int
    fields: dict[str, FieldDifference]


class Restore(VersionedBody):
    """Put a row back to what it was after a change."""

    model_config = ConfigDict(json_schema_extra={"example": {"change_id": 4711, "version": 5}})

    change_id: WholeNumber = Field(
        ge=1, le=2**63 - 1, description="`id` of an entry of the history."
    )


class Restored(BaseModel):
    """What a restore did: a new, audited change."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    row: dict[str, Any]
    change_id: int
    restored: list[str] = Field(description="Fields that were put back.")
    not_restored: list[str] = Field(description="Fields that cannot be put back.")


class Activity(BaseModel):
    """One change of any row."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int
    at: Stamp
    table_name: str
    row_id: str
    customer_id: UUID | None
    op: Operation
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    row_version: int | None
    actor: UUID | None
    actor_kind: ActorKind
    request_id: str | None


class ActivityPage(BaseModel):
    """Some activity, newest first."""

    items: list[Activity]
    next_before_id: int | None = Field(
        description="Send it as `before_id` for the next page; null on the last one."
    )
