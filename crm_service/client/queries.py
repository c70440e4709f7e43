"""What lists and reads may be asked for: the query parameters of each call, by name and type."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, Required, TypedDict
from uuid import UUID

from crm_service.calls.schemas import Direction, Outcome
from crm_service.history.schemas import ActorKind, LogTable, Operation
from crm_service.invoices.schemas import InvoiceStatus
from crm_service.jobs.schemas import JobStatus
from crm_service.leads.schemas import LeadStatus, NoteKind
from crm_service.loyalty.schemas import EntryKind
from crm_service.staff.schemas import Role


class PageQuery(TypedDict, total=False):
    """Which page of a list, in which order (`-column` for descending)."""

    limit: int
    cursor: str | None
    sort: str


class SearchQuery(PageQuery, total=False):
    """Words that must all occur."""

    q: str | None


class CustomerQuery(SearchQuery, total=False):
    """Which customers."""

    branch: str | None
    has_portal: bool | None
    deleted: bool


class LeadQuery(SearchQuery, total=False):
    """Which leads."""

    status: LeadStatus | Sequence[LeadStatus] | None
    assigned_to: UUID | Literal["me", "nobody"] | str | None
    min_score: int | None
    follow_up_from: datetime | None
    follow_up_before: datetime | None


class LeadNoteQuery(SearchQuery, total=False):
    """Which notes of a lead."""

    kind: NoteKind | None


class CallQuery(SearchQuery, total=False):
    """Which calls."""

    customer_id: UUID | str | None
    staff_id: UUID | Literal["me"] | str | None
    direction: Direction | None
    outcome: Outcome | Sequence[Outcome] | None
    since: datetime | None
    until: datetime | None


class JobQuery(SearchQuery, total=False):
    """Which jobs."""

    customer_id: UUID | str | None
    status: JobStatus | Sequence[JobStatus] | None
    starts_from: datetime | None
    starts_before: datetime | None
    assigned_to: UUID | Literal["me", "nobody"] | str | None
    deleted: bool


class InvoiceQuery(SearchQuery, total=False):
    """Which invoices."""

    customer_id: UUID | str | None
    status: InvoiceStatus | Sequence[InvoiceStatus] | None
    due_from: date | None
    due_before: date | None
    deleted: bool


class MessageQuery(SearchQuery, total=False):
    """Which messages."""

    customer_id: UUID | str | None
    unread: bool
    deleted: bool


class LoyaltyQuery(SearchQuery, total=False):
    """Which entries of the ledger."""

    customer_id: UUID | str | None
    kind: EntryKind | None
    since: datetime | None
    until: datetime | None


class StaffQuery(SearchQuery, total=False):
    """Which members of staff."""

    role: Role | None
    active: bool | None


class HistoryQuery(TypedDict, total=False):
    """Which page of a row's history."""

    before_id: int | None
    limit: int


class DifferenceQuery(TypedDict, total=False):
    """Which two versions."""

    from_version: Required[int]
    to_version: int | None


class TimelineQuery(HistoryQuery, total=False):
    """Which of the things that happened around a customer."""

    table: LogTable | None
    actor: UUID | str | None
    actor_kind: ActorKind | None
    op: Operation | None
    since: datetime | None
    until: datetime | None


class ActivityQuery(TimelineQuery, total=False):
    """Which of the things that happened."""

    customer_id: UUID | str | None
    request_id: str | None


class DashboardQuery(TypedDict, total=False):
    """Which days, both included, and where they begin."""

    first_day: date | None
    last_day: date | None
    zone: str


class RoomQuery(TypedDict, total=False):
    """Which room of a customer's portal."""

    room: str


class EventQuery(RoomQuery, total=False):
    """Which room to listen to, too, and whether colleagues see the listener."""

    customer_id: UUID | str | None
    visible: bool


class ImportQuery(TypedDict, total=False):
    """How a CSV file is read; `map` is `Header=column`, once for each."""

    key_column: str | None
    map: Sequence[str] | None
    source: str | None
    dry_run: bool
