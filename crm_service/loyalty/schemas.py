"""Bodies and rows of the loyalty ledger."""

from typing import Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from crm_service.fields import CreateBody, IdRecord, Points, ShortText, SignedPoints, Stamp

EntryKind: TypeAlias = Literal["award", "bonus", "adjust", "redeem"]

_EXAMPLE: dict[str, Any] = {
    "customer_id": "c0000000-0000-4000-8000-000000000001",
    "points": 50,
    "reason": "Thank you for your patience",
}


class PointsGrant(CreateBody):
    """Points given to a customer."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    customer_id: UUID
    points: Points
    reason: ShortText | None = None


class PointsAdjustment(CreateBody):
    """A correction in either direction; the balance never goes below zero."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**_EXAMPLE, "points": -20, "reason": "Booked twice"}}
    )

    customer_id: UUID
    points: SignedPoints
    reason: ShortText | None = None

    @field_validator("points")
    @classmethod
    def _refuse_zero(cls, points: int) -> int:
        if points == 0:
            raise ValueError("must not be zero")
        return points


class PointsRedemption(CreateBody):
    """Points a customer spends."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**_EXAMPLE, "points": 30, "reason": "Voucher"}}
    )

    customer_id: UUID
    points: Points = Field(description="How many are taken off the balance.")
    reason: ShortText | None = None

    def columns(self) -> dict[str, Any]:
        """Return the columns to insert: the ledger books what is spent as a negative number."""
        columns = super().columns()
        return {**columns, "points": -self.points}


class LoyaltyEntryRead(IdRecord):
    """One entry of the append-only ledger."""

    customer_id: UUID
    entry_no: int = Field(description="Dense per customer, from 1.")
    points: int
    balance_after: int
    kind: EntryKind
    reason: str | None


class LoyaltyAccountRead(BaseModel):
    """A customer's balance."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    customer_id: UUID
    balance: int
    last_entry: int = Field(description="Number of the latest ledger entry; 0 if there is none.")
    updated_at: Stamp | None = None
