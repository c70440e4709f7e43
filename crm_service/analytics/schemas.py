"""The numbers of the dashboard."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class CallNumbers(BaseModel):
    """Calls in the range."""

    total: int
    connected: int
    demos_booked: int


class LeadNumbers(BaseModel):
    """Leads: ``active`` is as of now, the others count the range.

    Won and lost ones are counted by ``closed_at``: what is changed about them later moves none.
    """

    active: int
    new: int
    won: int
    lost: int


class Revenue(BaseModel):
    """Money per currency, in minor units; ``overdue`` is as of now."""

    currency: str
    invoiced_cents: int
    paid_cents: int
    overdue_cents: int


class LoyaltyNumbers(BaseModel):
    """Points booked in the range."""

    issued: int
    redeemed: int


class Day(BaseModel):
    """One day of the trend; money of all currencies together."""

    day: date
    calls: int
    jobs_completed: int
    invoiced_cents: int
    paid_cents: int


class Performer(BaseModel):
    """What one member of staff did in the range."""

    user_id: UUID
    full_name: str
    calls: int
    demos_booked: int
    leads_won: int


class Dashboard(BaseModel):
    """A range of days in numbers."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    first_day: date
    last_day: date
    zone: str
    own_only: bool = Field(description="Calls, leads and people are the caller's own (agents).")
    calls: CallNumbers
    leads: LeadNumbers
    conversion_rate: float | None = Field(description="won / (won + lost); null without either.")
    jobs_by_status: dict[str, int] = Field(description="Jobs made in the range.")
    revenue: list[Revenue]
    loyalty: LoyaltyNumbers
    days: list[Day]
    top_performers: list[Performer]
