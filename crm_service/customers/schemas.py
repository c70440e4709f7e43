"""Bodies and rows of customers."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from crm_service.fields import (
    CreateBody,
    Email,
    IdRecord,
    JsonObject,
    Name,
    Stamp,
    UpdateBody,
    optional_field,
)

Phone = Annotated[str, StringConstraints(max_length=50, pattern=r"^[^\x00]*$")]
Address = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]
Branch = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00]*$")]
Preferences = Annotated[JsonObject, Field(description="A JSON object the customer may see.")]

_EXAMPLE: dict[str, Any] = {
    "name": "Ada Byron",
    "email": "ada@example.com",
    "phone": "+44 20 7946 0000",
    "address": "1 Mill Lane",
    "branch": "north",
    "preferences": {"newsletter": True},
}


class CustomerCreate(CreateBody):
    """A new customer."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    name: Name
    email: Email | None = None
    phone: Phone | None = None
    address: Address | None = None
    branch: Branch | None = None
    preferences: Preferences = optional_field()


class CustomerUpdate(UpdateBody):
    """Changes to a customer."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"phone": "+44 20 7946 0001", "version": 1}}
    )

    name: Name = optional_field()
    email: Email | None = None
    phone: Phone | None = None
    address: Address | None = None
    branch: Branch | None = None
    preferences: Preferences = optional_field()


class CustomerRead(IdRecord):
    """A customer."""

    name: str
    email: str | None
    phone: str | None
    address: str | None
    branch: str | None
    preferences: dict[str, Any] = Field(description="Any JSON object.")
    portal_user_id: UUID | None = Field(description="Sign-in of the customer in the portal.")
    updated_at: Stamp
    deleted_at: Stamp | None
